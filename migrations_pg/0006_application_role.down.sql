-- The role itself stays: other databases of this server may use it.
REVOKE ALL ON ALL TABLES IN SCHEMA finance, platform FROM nexfit_app;
REVOKE USAGE ON SCHEMA finance, platform FROM nexfit_app;
