-- What was in the drawer when somebody counted it: once before the day's first customer and once after the last. Only ever added.
CREATE TABLE finance.till_counts (
  till_count_id uuid PRIMARY KEY DEFAULT uuidv7(),
  business_id varchar(24) NOT NULL,
  facility_id varchar(24) NOT NULL,
  -- The facility's local day.
  day date NOT NULL,
  kind text NOT NULL CHECK (kind IN ('opening', 'closing')),
  counted numeric NOT NULL CHECK (counted >= 0),
  -- Of a closing: the opening, and the cash the day's movements left when it was counted.
  expected numeric,
  currency varchar(3) NOT NULL,
  note text CHECK (note <> ''),
  counted_by varchar(24) NOT NULL CHECK (platform.is_object_id(counted_by)),
  counted_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT till_counts_account_fkey FOREIGN KEY (facility_id, business_id, currency)
    REFERENCES finance.facility_accounts (facility_id, business_id, currency) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT till_counts_amount_scale CHECK (finance.fits_currency(counted, currency)),
  CONSTRAINT till_counts_expected CHECK ((kind = 'closing') = (expected IS NOT NULL)),
  -- Also the index of the report.
  CONSTRAINT till_counts_key UNIQUE (facility_id, day, kind)
);
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON finance.till_counts
  FOR EACH ROW EXECUTE FUNCTION platform.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON finance.till_counts
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_change();

GRANT SELECT, INSERT ON finance.till_counts TO nexfit_app;
