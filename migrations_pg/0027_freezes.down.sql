SELECT platform.refuse_data_loss('finance.freezes');
DROP TABLE finance.freezes;
