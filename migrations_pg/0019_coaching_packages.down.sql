DROP TABLE finance.coaching_packages;
