CREATE TABLE ops.api_calls_hourly (
    hour_at TIMESTAMP WITH TIME ZONE NOT NULL,
    system_code TEXT NOT NULL,
    connection TEXT NOT NULL,
    operation TEXT NOT NULL,
    status_class TEXT NOT NULL,
    call_count INTEGER DEFAULT '0' NOT NULL,
    throttled_count INTEGER DEFAULT '0' NOT NULL,
    total_duration_ms BIGINT NOT NULL,
    max_duration_ms INTEGER DEFAULT '0' NOT NULL,
    CONSTRAINT pk_api_calls_hourly PRIMARY KEY (hour_at, system_code, connection, operation, status_class)
);
COMMENT ON TABLE ops.api_calls_hourly IS 'What is left of the purged rows of ops.api_calls: one row per hour and kind of answer.';
COMMENT ON COLUMN ops.api_calls_hourly.hour_at IS 'Beginning of the hour in which the requests began.';
COMMENT ON COLUMN ops.api_calls_hourly.system_code IS 'amazon or commerce.';
COMMENT ON COLUMN ops.api_calls_hourly.connection IS 'Airflow connection used.';
COMMENT ON COLUMN ops.api_calls_hourly.operation IS 'Operation of that system''s API.';
COMMENT ON COLUMN ops.api_calls_hourly.status_class IS '2xx, 3xx, 4xx or 5xx; none: no answer.';
COMMENT ON COLUMN ops.api_calls_hourly.call_count IS 'Requests.';
COMMENT ON COLUMN ops.api_calls_hourly.throttled_count IS 'Requests answered with 429.';
COMMENT ON COLUMN ops.api_calls_hourly.total_duration_ms IS 'Sum of their durations in milliseconds.';
COMMENT ON COLUMN ops.api_calls_hourly.max_duration_ms IS 'The longest of them.';

-- A landed version outlives the page that it came with.
ALTER TABLE raw.amazon_orders DROP CONSTRAINT fk_amazon_orders_page;
COMMENT ON COLUMN raw.amazon_orders.ingest_window_id IS 'Window whose page held this version first; old windows are purged.';

CREATE INDEX ix_ingest_windows_opened_at ON ops.ingest_windows (opened_at);
CREATE INDEX ix_validation_results_validated_at ON ops.validation_results (validated_at);
