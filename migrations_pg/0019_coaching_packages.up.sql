-- What a client bought of a coach's time: a client may hold several packages at once, and the one that ends first is used first.
-- Their credits are the ledger's business (0004). MongoDB's relation repeats the package that was sold last.
CREATE TABLE finance.coaching_packages (
  package_id varchar(24) PRIMARY KEY CHECK (platform.is_object_id(package_id)),
  -- The relation of coach and client it was sold in.
  relation_id varchar(24) NOT NULL CHECK (platform.is_object_id(relation_id)),
  coach_id varchar(24) NOT NULL CHECK (platform.is_object_id(coach_id)),
  client_id varchar(24) NOT NULL CHECK (platform.is_object_id(client_id)),
  name text CHECK (name <> ''),
  price numeric CHECK (price >= 0),
  currency varchar(3),
  -- Days on which sessions may take place, both included. Without an end it never ends.
  starts_on date,
  ends_on date,
  sold_by varchar(24) CHECK (platform.is_object_id(sold_by)),
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT coaching_packages_dates CHECK (ends_on >= starts_on),
  CONSTRAINT coaching_packages_price CHECK (price IS NULL OR finance.fits_currency(price, currency))
);
-- A relation's packages in the order in which they are used.
CREATE INDEX idx_coaching_packages_relation_id ON finance.coaching_packages (relation_id, ends_on, package_id);
-- Packages that have ended: their credits expire.
CREATE INDEX idx_coaching_packages_ends_on ON finance.coaching_packages (ends_on) WHERE ends_on IS NOT NULL;

-- Until now a relation had one package, named by the relation. What it was called and cost stands in MongoDB alone.
INSERT INTO finance.coaching_packages (package_id, relation_id, coach_id, client_id, created_at)
  SELECT package_id, package_id, min(coach_id), min(client_id), min(created_at)
    FROM finance.package_credit_ledger GROUP BY package_id;

GRANT SELECT, INSERT ON finance.coaching_packages TO nexfit_app;
