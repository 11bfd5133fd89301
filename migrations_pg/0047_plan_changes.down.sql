DROP TABLE finance.plan_changes;
