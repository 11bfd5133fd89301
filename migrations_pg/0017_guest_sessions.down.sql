DROP TABLE shop.guest_sessions;
DROP FUNCTION shop.keep_guest_session_ended();
DROP SCHEMA shop;
