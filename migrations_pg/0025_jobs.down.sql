DROP TABLE platform.pgqueuer, platform.pgqueuer_log, platform.pgqueuer_schedules, platform.pgqueuer_statistics;
DROP FUNCTION platform.fn_pgqueuer_changed();
DROP TYPE platform.pgqueuer_status;
