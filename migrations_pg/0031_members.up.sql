-- Two more orders of the members' list, and what staff write about a member: tags to filter by, and notes.
CREATE INDEX idx_member_facts_next_booking_order ON platform.member_facts
  (facility_id, next_booking_at DESC NULLS LAST, user_id DESC);
CREATE INDEX idx_member_facts_birthday ON platform.member_facts (facility_id, birthday DESC NULLS LAST, user_id DESC);

CREATE TABLE platform.member_tags (
  facility_id varchar(24) NOT NULL CHECK (platform.is_object_id(facility_id)),
  user_id varchar(24) NOT NULL CHECK (platform.is_object_id(user_id)),
  -- Folded by the application: VIP and vip are one tag.
  tag_folded text COLLATE "C" NOT NULL CHECK (tag_folded <> ''),
  tag text NOT NULL CHECK (tag <> ''),
  tagged_by varchar(24) NOT NULL CHECK (platform.is_object_id(tagged_by)),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (facility_id, user_id, tag_folded)
);
-- Who has a tag.
CREATE INDEX idx_member_tags_tag ON platform.member_tags (facility_id, tag_folded, user_id);

CREATE TABLE platform.member_notes (
  note_id uuid PRIMARY KEY DEFAULT uuidv7(),
  facility_id varchar(24) NOT NULL CHECK (platform.is_object_id(facility_id)),
  user_id varchar(24) NOT NULL CHECK (platform.is_object_id(user_id)),
  author_id varchar(24) NOT NULL CHECK (platform.is_object_id(author_id)),
  text text NOT NULL CHECK (text <> ''),
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_member_notes_member ON platform.member_notes (facility_id, user_id, created_at DESC, note_id DESC);

GRANT SELECT, INSERT, DELETE ON platform.member_tags, platform.member_notes TO nexfit_app;
