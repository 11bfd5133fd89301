DROP TABLE platform.notices;
DROP TABLE platform.consumed_events;
DROP TABLE platform.consumers;
