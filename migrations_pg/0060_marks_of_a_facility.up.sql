-- Revenue asks for the marks of its facility. They are few while somebody computes what they name, and many after a night without.
CREATE INDEX idx_analytics_marks_facility ON finance.analytics_marks (facility_id, last_day) INCLUDE (first_day);
