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

-- A landed version outlives the page that it came with.
ALTER TABLE raw.amazon_orders DROP CONSTRAINT fk_amazon_orders_page;

CREATE INDEX ix_ingest_windows_opened_at ON ops.ingest_windows (opened_at);
CREATE INDEX ix_validation_results_validated_at ON ops.validation_results (validated_at);
