SELECT platform.refuse_data_loss('platform.data_requests');
DROP FUNCTION platform.is_erased(text);
DROP TABLE platform.data_request_steps;
DROP TABLE platform.data_requests;
