SELECT platform.refuse_data_loss('finance.till_counts');
DROP TABLE finance.till_counts;
