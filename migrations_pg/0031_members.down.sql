SELECT platform.refuse_data_loss('platform.member_tags', 'platform.member_notes');
DROP TABLE platform.member_notes;
DROP TABLE platform.member_tags;
DROP INDEX platform.idx_member_facts_birthday;
DROP INDEX platform.idx_member_facts_next_booking_order;
