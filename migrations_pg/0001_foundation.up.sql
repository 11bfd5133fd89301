-- Schemas, and the small functions every later file's constraints and triggers are written with.
-- Schema `platform` and `platform.schema_versions` exist already: the migration runner makes them before the first file.
CREATE SCHEMA finance;

-- Name search: trigrams, with the facility's id in the same index.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

-- A MongoDB ObjectId written as text. Lower case only, so that one id has one spelling.
CREATE FUNCTION platform.is_object_id(value text) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN value ~ '^[0-9a-f]{24}$';

-- ISO 4217: how many decimals a currency has; NULL for a code that is no active currency.
CREATE FUNCTION finance.currency_exponent(code text) RETURNS integer
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE
    WHEN code = ANY ('{AED,AFN,ALL,AMD,AOA,ARS,AUD,AWG,AZN,BAM,BBD,BDT,BGN,BMD,BND,BOB,BRL,BSD,BTN,BWP,BYN,BZD,CAD,CDF,CHF,CNY,COP,
      CRC,CUP,CVE,CZK,DKK,DOP,DZD,EGP,ERN,ETB,EUR,FJD,FKP,GBP,GEL,GHS,GIP,GMD,GTQ,GYD,HKD,HNL,HTG,HUF,IDR,ILS,INR,IRR,JMD,KES,KGS,KHR,
      KPW,KYD,KZT,LAK,LBP,LKR,LRD,LSL,MAD,MDL,MGA,MKD,MMK,MNT,MOP,MRU,MUR,MVR,MWK,MXN,MYR,MZN,NAD,NGN,NIO,NOK,NPR,NZD,PAB,PEN,PGK,PHP,
      PKR,PLN,QAR,RON,RSD,RUB,SAR,SBD,SCR,SDG,SEK,SGD,SHP,SLE,SOS,SRD,SSP,STN,SVC,SYP,SZL,THB,TJS,TMT,TOP,TRY,TTD,TWD,TZS,UAH,USD,UYU,
      UZS,VED,VES,WST,XCD,XCG,YER,ZAR,ZMW,ZWG}'::text[]) THEN 2
    WHEN code = ANY ('{BIF,CLP,DJF,GNF,ISK,JPY,KMF,KRW,PYG,RWF,UGX,VND,VUV,XAF,XOF,XPF}'::text[]) THEN 0
    WHEN code = ANY ('{BHD,IQD,JOD,KWD,LYD,OMR,TND}'::text[]) THEN 3
  END;

-- An amount a ledger may hold: finite, below 10^15, and no finer than the currency's smallest coin. NUMERIC columns carry no
-- (precision, scale): with one PostgreSQL would round 10.005 silently where this refuses it.
CREATE FUNCTION finance.fits_currency(amount numeric, code text) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN abs(amount) < 1000000000000000 AND coalesce(scale(trim_scale(amount)) <= finance.currency_exponent(code), false);

CREATE FUNCTION platform.touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END $$;

-- For rows that are evidence: BEFORE UPDATE OR DELETE, and BEFORE TRUNCATE.
CREATE FUNCTION platform.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on %.% is refused: its rows are append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END $$;

-- Statement triggers of a partitioned table do not fire for a statement that names one of its partitions: what hangs on them
-- (transaction keys, member facts) would be skipped. So partitions refuse to be named.
CREATE FUNCTION platform.refuse_direct_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'write to the partitioned table, not to its partition %.%', TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END $$;

-- For down files: stops where tables that cannot be rebuilt hold rows, unless the operator said that they may be lost
-- (the runner's `lose_data`, which sets nexfit.lose_data for the migration's transaction).
CREATE FUNCTION platform.refuse_data_loss(VARIADIC tables regclass[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  doomed regclass;
  filled boolean;
BEGIN
  IF current_setting('nexfit.lose_data', true) = 'on' THEN
    RETURN;
  END IF;
  FOREACH doomed IN ARRAY tables LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', doomed) INTO filled;
    IF filled THEN
      RAISE EXCEPTION 'table % holds rows that would be lost', doomed USING ERRCODE = 'NXD01';
    END IF;
  END LOOP;
END $$;

-- Make one partition of a table partitioned by range over a date or timestamptz column: the month or year (in UTC) that holds `day`.
-- Answers its name, or NULL where it exists. Attaching a finished table keeps the parent open to readers and writers meanwhile.
-- Rows of that time which the default partition caught are moved over first: they have been seen by every trigger already.
CREATE FUNCTION platform.ensure_partition(parent regclass, unit text, day date) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  starts text := date_trunc(unit, day::timestamp)::date || ' 00:00:00+00';
  ends text := (date_trunc(unit, day::timestamp) + ('1 ' || unit)::interval)::date || ' 00:00:00+00';
  home text;
  partition text;
  key text;
  fallback regclass;
  stray boolean := false;
BEGIN
  IF unit NOT IN ('month', 'year') THEN
    RAISE EXCEPTION 'a partition is a month or a year, not a %', unit USING ERRCODE = 'invalid_parameter_value';
  END IF;
  SELECT n.nspname, c.relname || '_' || to_char(starts::date, CASE unit WHEN 'month' THEN 'YYYY_MM' ELSE 'YYYY' END),
         a.attname, nullif(p.partdefid, 0)::regclass
    INTO STRICT home, partition, key, fallback
    FROM pg_partitioned_table p
      JOIN pg_class c ON c.oid = p.partrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
    WHERE c.oid = parent;
  IF to_regclass(format('%I.%I', home, partition)) IS NOT NULL THEN
    RETURN NULL;
  END IF;
  EXECUTE format('CREATE TABLE %I.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', home, partition, parent);
  IF fallback IS NOT NULL THEN
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %I >= %L AND %I < %L)', fallback, key, starts, key, ends) INTO stray;
  END IF;
  IF stray THEN
    EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', fallback);
    EXECUTE format('WITH moved AS (DELETE FROM %s WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %I.%I SELECT * FROM moved',
                   fallback, key, starts, key, ends, home, partition);
    EXECUTE format('ALTER TABLE %s ENABLE TRIGGER USER', fallback);
  END IF;
  EXECUTE format('CREATE TRIGGER refuse_direct_write BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %I.%I
                  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_direct_write()', home, partition);
  EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)', parent, home, partition, starts, ends);
  RETURN partition;
END $$;
