-- The first tables of the orders database.
-- noqa: disable=LT05
CREATE TABLE core.products (
    commerce_connection TEXT NOT NULL,
    commerce_store_view TEXT NOT NULL,
    catalog_sku TEXT NOT NULL,
    commerce_product_id TEXT,
    commerce_sku TEXT,
    product_name TEXT,
    type_id TEXT,
    is_enabled BOOLEAN DEFAULT 'false' NOT NULL,
    salable_qty NUMERIC(12, 4),
    checked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    dag_run_id TEXT NOT NULL,
    CONSTRAINT pk_products PRIMARY KEY (commerce_connection, commerce_store_view, catalog_sku)
);
COMMENT ON TABLE core.products IS 'What the Commerce catalog said about each ordered SKU at the last check.';
COMMENT ON COLUMN core.products.commerce_connection IS 'Airflow connection of the shop.';
COMMENT ON COLUMN core.products.commerce_store_view IS 'Store view whose state this is.';
COMMENT ON COLUMN core.products.catalog_sku IS 'SKU as orders ask for it; the shop compares without case.';
COMMENT ON COLUMN core.products.commerce_product_id IS 'Commerce''s product id; null: not in the catalog.';
COMMENT ON COLUMN core.products.commerce_sku IS 'SKU as the catalog spells it.';
COMMENT ON COLUMN core.products.product_name IS 'Name in the catalog.';
COMMENT ON COLUMN core.products.type_id IS 'simple, virtual, bundle ...';
COMMENT ON COLUMN core.products.is_enabled IS 'Enabled in the store view.';
COMMENT ON COLUMN core.products.salable_qty IS 'Free to sell in the store''s stock at the last check; null: not limited or not asked.';
COMMENT ON COLUMN core.products.checked_at IS 'When Commerce was asked.';
COMMENT ON COLUMN core.products.dag_run_id IS 'Airflow run that asked.';
CREATE TABLE core.stores (
    store_name TEXT NOT NULL,
    account_name TEXT NOT NULL,
    seller_id TEXT NOT NULL,
    region TEXT NOT NULL,
    marketplace_id TEXT NOT NULL,
    commerce_connection TEXT NOT NULL,
    commerce_store_view TEXT NOT NULL,
    currency_code TEXT NOT NULL,
    seller_central_host TEXT NOT NULL,
    commerce_admin_url TEXT,
    is_import_enabled BOOLEAN DEFAULT 'false' NOT NULL,
    is_connected BOOLEAN DEFAULT 'false' NOT NULL,
    connected_at TIMESTAMP WITH TIME ZONE NOT NULL,
    import_since TIMESTAMP WITH TIME ZONE NOT NULL,
    settings_sha256 TEXT NOT NULL,
    CONSTRAINT pk_stores PRIMARY KEY (store_name),
    CONSTRAINT uq_stores_account_name_marketplace_id UNIQUE (account_name, marketplace_id)
);
COMMENT ON TABLE core.stores IS 'Stores of stores.yaml, and since when they are connected.';
COMMENT ON COLUMN core.stores.store_name IS 'Name of the store in stores.yaml, as people see it.';
COMMENT ON COLUMN core.stores.account_name IS 'Account (one seller in one Amazon region).';
COMMENT ON COLUMN core.stores.seller_id IS 'Amazon''s seller id.';
COMMENT ON COLUMN core.stores.region IS 'na, eu or fe.';
COMMENT ON COLUMN core.stores.marketplace_id IS 'Amazon''s marketplace id.';
COMMENT ON COLUMN core.stores.commerce_connection IS 'Airflow connection of the shop.';
COMMENT ON COLUMN core.stores.commerce_store_view IS 'Store view code that the orders go to.';
COMMENT ON COLUMN core.stores.currency_code IS 'Currency of the marketplace, ISO 4217.';
COMMENT ON COLUMN core.stores.seller_central_host IS 'Host of Seller Central for this marketplace.';
COMMENT ON COLUMN core.stores.commerce_admin_url IS 'Base address of the shop''s admin pages.';
COMMENT ON COLUMN core.stores.is_import_enabled IS 'False: orders are shown, never created in Commerce.';
COMMENT ON COLUMN core.stores.is_connected IS 'Whether stores.yaml still lists the store.';
COMMENT ON COLUMN core.stores.connected_at IS 'When the store was first seen; never changes.';
COMMENT ON COLUMN core.stores.import_since IS 'Orders created before this moment are not imported.';
COMMENT ON COLUMN core.stores.settings_sha256 IS 'SHA-256 of the store''s settings; when it changes, orders that were left out are judged anew.';
CREATE TABLE ops.api_calls (
    api_call_id BIGINT GENERATED ALWAYS AS IDENTITY,
    system_code TEXT NOT NULL,
    connection TEXT NOT NULL,
    operation TEXT NOT NULL,
    status_code NUMERIC(3, 0),
    is_throttled BOOLEAN DEFAULT 'false' NOT NULL,
    rate_limit NUMERIC(12, 6),
    request_id TEXT,
    duration_ms INTEGER DEFAULT '0' NOT NULL,
    called_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_api_calls PRIMARY KEY (api_call_id)
);
CREATE INDEX ix_api_calls_called_at ON ops.api_calls (called_at);
COMMENT ON TABLE ops.api_calls IS 'Ledger of every request to both systems; no bodies.';
COMMENT ON COLUMN ops.api_calls.api_call_id IS 'One HTTP request.';
COMMENT ON COLUMN ops.api_calls.system_code IS 'amazon or commerce.';
COMMENT ON COLUMN ops.api_calls.connection IS 'Airflow connection used.';
COMMENT ON COLUMN ops.api_calls.operation IS 'Operation of that system''s API.';
COMMENT ON COLUMN ops.api_calls.status_code IS 'HTTP status; null: no answer.';
COMMENT ON COLUMN ops.api_calls.is_throttled IS 'The answer was 429.';
COMMENT ON COLUMN ops.api_calls.rate_limit IS 'x-amzn-RateLimit-Limit.';
COMMENT ON COLUMN ops.api_calls.request_id IS 'x-amzn-RequestId, for support.';
COMMENT ON COLUMN ops.api_calls.duration_ms IS 'Milliseconds until the whole answer was read.';
COMMENT ON COLUMN ops.api_calls.called_at IS 'When the request began.';
CREATE TABLE ops.ingest_windows (
    ingest_window_id BIGINT GENERATED ALWAYS AS IDENTITY,
    account_name TEXT NOT NULL,
    updated_from TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_to TIMESTAMP WITH TIME ZONE NOT NULL,
    query JSONB NOT NULL,
    next_token TEXT,
    next_token_at TIMESTAMP WITH TIME ZONE,
    page_count INTEGER DEFAULT '0' NOT NULL,
    orders_seen INTEGER DEFAULT '0' NOT NULL,
    orders_quarantined INTEGER DEFAULT '0' NOT NULL,
    state TEXT NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    landed_at TIMESTAMP WITH TIME ZONE,
    dag_run_id TEXT NOT NULL,
    CONSTRAINT pk_ingest_windows PRIMARY KEY (ingest_window_id),
    CONSTRAINT ck_ingest_windows_state CHECK (state IN ('open', 'landed', 'abandoned'))
);
CREATE INDEX ix_ingest_windows_landed ON ops.ingest_windows (account_name, updated_to) WHERE state = 'landed';
CREATE UNIQUE INDEX uq_ingest_windows_open ON ops.ingest_windows (account_name) WHERE state = 'open';
COMMENT ON TABLE ops.ingest_windows IS 'Windows of Amazon''s order listing. An account''s watermark is the greatest updated_to of its landed ones.';
COMMENT ON COLUMN ops.ingest_windows.ingest_window_id IS 'One requested window.';
COMMENT ON COLUMN ops.ingest_windows.account_name IS 'Account (stores.yaml).';
COMMENT ON COLUMN ops.ingest_windows.updated_from IS 'lastUpdatedAfter that was asked.';
COMMENT ON COLUMN ops.ingest_windows.updated_to IS 'lastUpdatedBefore that was asked; the watermark once the window has landed.';
COMMENT ON COLUMN ops.ingest_windows.query IS 'Query parameters of every page, frozen: Amazon wants them identical.';
COMMENT ON COLUMN ops.ingest_windows.next_token IS 'Token of the next page to fetch; null before the first and after the last.';
COMMENT ON COLUMN ops.ingest_windows.next_token_at IS 'When Amazon gave that token; it lives 24 hours.';
COMMENT ON COLUMN ops.ingest_windows.page_count IS 'Pages landed.';
COMMENT ON COLUMN ops.ingest_windows.orders_seen IS 'Orders on these pages.';
COMMENT ON COLUMN ops.ingest_windows.orders_quarantined IS 'Orders on these pages that broke the contract.';
COMMENT ON COLUMN ops.ingest_windows.state IS 'open, landed, or abandoned (its token died; the next window starts at the same point).';
COMMENT ON COLUMN ops.ingest_windows.opened_at IS 'When the window was opened.';
COMMENT ON COLUMN ops.ingest_windows.landed_at IS 'When its last page landed.';
COMMENT ON COLUMN ops.ingest_windows.dag_run_id IS 'Airflow run that opened it.';
CREATE TABLE ops.quarantined_orders (
    payload_sha256 TEXT NOT NULL,
    account_name TEXT NOT NULL,
    amazon_order_id TEXT,
    findings TEXT[] NOT NULL,
    remedy TEXT NOT NULL,
    seen_count INTEGER DEFAULT '0' NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    released_at TIMESTAMP WITH TIME ZONE,
    dag_run_id TEXT NOT NULL,
    CONSTRAINT pk_quarantined_orders PRIMARY KEY (payload_sha256)
);
CREATE INDEX ix_quarantined_orders_amazon_order_id ON ops.quarantined_orders (amazon_order_id);
COMMENT ON TABLE ops.quarantined_orders IS 'Orders that Amazon sent in a form that we cannot read: kept aside, so that the rest goes on.';
COMMENT ON COLUMN ops.quarantined_orders.payload_sha256 IS 'SHA-256 of the document; pii.quarantined_payloads holds it.';
COMMENT ON COLUMN ops.quarantined_orders.account_name IS 'Account whose listing held it.';
COMMENT ON COLUMN ops.quarantined_orders.amazon_order_id IS 'Amazon''s order id, if the document has a readable one.';
COMMENT ON COLUMN ops.quarantined_orders.findings IS 'What is wrong, as paths and rules, without values.';
COMMENT ON COLUMN ops.quarantined_orders.remedy IS 'What a person can do.';
COMMENT ON COLUMN ops.quarantined_orders.seen_count IS 'How often a listing showed this document.';
COMMENT ON COLUMN ops.quarantined_orders.first_seen_at IS 'First time.';
COMMENT ON COLUMN ops.quarantined_orders.last_seen_at IS 'Last time.';
COMMENT ON COLUMN ops.quarantined_orders.released_at IS 'When a sound version of the order landed.';
COMMENT ON COLUMN ops.quarantined_orders.dag_run_id IS 'Airflow run that saw it last.';
CREATE TABLE ops.rate_limits (
    application_id TEXT NOT NULL,
    account_name TEXT NOT NULL,
    region TEXT NOT NULL,
    operation TEXT NOT NULL,
    rate_per_second NUMERIC(12, 6) NOT NULL,
    burst NUMERIC(12, 6) NOT NULL,
    tokens NUMERIC(12, 6) NOT NULL,
    refilled_at TIMESTAMP WITH TIME ZONE NOT NULL,
    blocked_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_rate_limits PRIMARY KEY (application_id, account_name, region, operation)
);
COMMENT ON TABLE ops.rate_limits IS 'Token buckets shared by every process, one per application, account, region and operation.';
COMMENT ON COLUMN ops.rate_limits.application_id IS 'Client id of the application.';
COMMENT ON COLUMN ops.rate_limits.account_name IS 'Account.';
COMMENT ON COLUMN ops.rate_limits.region IS 'na, eu or fe.';
COMMENT ON COLUMN ops.rate_limits.operation IS 'Operation of the Selling Partner API.';
COMMENT ON COLUMN ops.rate_limits.rate_per_second IS 'Refill, requests per second; learned from x-amzn-RateLimit-Limit.';
COMMENT ON COLUMN ops.rate_limits.burst IS 'Size of the bucket.';
COMMENT ON COLUMN ops.rate_limits.tokens IS 'Requests left at refilled_at.';
COMMENT ON COLUMN ops.rate_limits.refilled_at IS 'Moment that `tokens` speaks of.';
COMMENT ON COLUMN ops.rate_limits.blocked_until IS 'Amazon throttled us: no call before this moment.';
CREATE TABLE ops.validation_results (
    dag_run_id TEXT NOT NULL,
    suite_sha256 TEXT NOT NULL,
    rule_code TEXT NOT NULL,
    expectation_type TEXT NOT NULL,
    severity TEXT NOT NULL,
    is_success BOOLEAN DEFAULT 'false' NOT NULL,
    is_errored BOOLEAN DEFAULT 'false' NOT NULL,
    evaluated_count INTEGER DEFAULT '0' NOT NULL,
    unexpected_count INTEGER DEFAULT '0' NOT NULL,
    duration_ms INTEGER DEFAULT '0' NOT NULL,
    validated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_validation_results PRIMARY KEY (dag_run_id, suite_sha256, rule_code)
);
COMMENT ON TABLE ops.validation_results IS 'Results of every rule of every validation that had something to validate.';
COMMENT ON COLUMN ops.validation_results.dag_run_id IS 'Airflow run that validated.';
COMMENT ON COLUMN ops.validation_results.suite_sha256 IS 'Version of the rules.';
COMMENT ON COLUMN ops.validation_results.rule_code IS 'The rule; a blocker code, or the name of a data check.';
COMMENT ON COLUMN ops.validation_results.expectation_type IS 'Great Expectations'' name of the check.';
COMMENT ON COLUMN ops.validation_results.severity IS 'critical, warning or info.';
COMMENT ON COLUMN ops.validation_results.is_success IS 'No line broke the rule.';
COMMENT ON COLUMN ops.validation_results.is_errored IS 'The check itself failed; nothing is known about the lines.';
COMMENT ON COLUMN ops.validation_results.evaluated_count IS 'Order lines checked.';
COMMENT ON COLUMN ops.validation_results.unexpected_count IS 'Order lines that broke the rule.';
COMMENT ON COLUMN ops.validation_results.duration_ms IS 'Duration of the whole suite in milliseconds.';
COMMENT ON COLUMN ops.validation_results.validated_at IS 'When.';
CREATE TABLE pii.order_contacts (
    amazon_order_id TEXT NOT NULL,
    contact_encrypted BYTEA NOT NULL,
    last_updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    loaded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_order_contacts PRIMARY KEY (amazon_order_id)
);
COMMENT ON TABLE pii.order_contacts IS 'Personal data of each order (buyer, recipient, gift messages ...), encrypted with ORDERS_PII_KEYS.';
COMMENT ON COLUMN pii.order_contacts.amazon_order_id IS 'Amazon''s order id.';
COMMENT ON COLUMN pii.order_contacts.contact_encrypted IS 'Fernet token of a JSON document: the personal fields and the fields unknown to our contract, at their paths.';
COMMENT ON COLUMN pii.order_contacts.last_updated_at IS 'lastUpdatedTime of the newest version that this row holds.';
COMMENT ON COLUMN pii.order_contacts.loaded_at IS 'When this row was written.';
CREATE TABLE pii.quarantined_payloads (
    payload_sha256 TEXT NOT NULL,
    payload_encrypted BYTEA NOT NULL,
    loaded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_quarantined_payloads PRIMARY KEY (payload_sha256)
);
COMMENT ON TABLE pii.quarantined_payloads IS 'Whole documents of quarantined orders, encrypted: they can hold personal data anywhere.';
COMMENT ON COLUMN pii.quarantined_payloads.payload_sha256 IS 'Key of ops.quarantined_orders.';
COMMENT ON COLUMN pii.quarantined_payloads.payload_encrypted IS 'Fernet token of the whole document as Amazon sent it.';
COMMENT ON COLUMN pii.quarantined_payloads.loaded_at IS 'When this row was written.';
CREATE TABLE raw.commerce_shipments (
    commerce_connection TEXT NOT NULL,
    commerce_shipment_id TEXT NOT NULL,
    payload_sha256 TEXT NOT NULL,
    commerce_order_id TEXT NOT NULL,
    amazon_order_id TEXT NOT NULL,
    payload JSONB NOT NULL,
    fetched_at TIMESTAMP WITH TIME ZONE NOT NULL,
    dag_run_id TEXT NOT NULL,
    is_staged BOOLEAN DEFAULT 'false' NOT NULL,
    CONSTRAINT pk_commerce_shipments PRIMARY KEY (commerce_connection, commerce_shipment_id, payload_sha256)
);
CREATE INDEX ix_commerce_shipments_unstaged ON raw.commerce_shipments (amazon_order_id) WHERE NOT is_staged;
COMMENT ON TABLE raw.commerce_shipments IS 'Every version of every Commerce shipment of a linked order that we saw.';
COMMENT ON COLUMN raw.commerce_shipments.commerce_connection IS 'Airflow connection of the shop.';
COMMENT ON COLUMN raw.commerce_shipments.commerce_shipment_id IS 'Commerce''s shipment id (entity_id).';
COMMENT ON COLUMN raw.commerce_shipments.payload_sha256 IS 'SHA-256 of the payload below, in canonical JSON.';
COMMENT ON COLUMN raw.commerce_shipments.commerce_order_id IS 'Commerce''s order id (entity_id).';
COMMENT ON COLUMN raw.commerce_shipments.amazon_order_id IS 'The Amazon order that the Commerce order was made for.';
COMMENT ON COLUMN raw.commerce_shipments.payload IS 'The shipment''s ids, times, items and tracks; no address, no name.';
COMMENT ON COLUMN raw.commerce_shipments.fetched_at IS 'When it was fetched.';
COMMENT ON COLUMN raw.commerce_shipments.dag_run_id IS 'Airflow run that fetched it.';
COMMENT ON COLUMN raw.commerce_shipments.is_staged IS 'Whether core.shipments holds this version or a newer one.';
CREATE TABLE reporting.recent_orders (
    store_name TEXT NOT NULL,
    purchased_at TIMESTAMP WITH TIME ZONE NOT NULL,
    amazon_order_id TEXT NOT NULL,
    status TEXT NOT NULL,
    grand_total_amount NUMERIC(20, 4),
    currency_code TEXT,
    order_notes TEXT NOT NULL,
    order_url TEXT NOT NULL,
    commerce_order_number TEXT,
    fulfilled_by TEXT,
    ship_by_at TIMESTAMP WITH TIME ZONE,
    is_blocked BOOLEAN DEFAULT 'false' NOT NULL,
    blocker_codes TEXT[] DEFAULT '{}' NOT NULL,
    last_updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    loaded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    dag_run_id TEXT NOT NULL,
    CONSTRAINT pk_recent_orders PRIMARY KEY (amazon_order_id)
);
CREATE INDEX ix_recent_orders_blocked ON reporting.recent_orders (store_name) WHERE is_blocked;
CREATE INDEX ix_recent_orders_loaded_at ON reporting.recent_orders (loaded_at);
CREATE INDEX ix_recent_orders_purchased_at ON reporting.recent_orders (purchased_at, amazon_order_id);
CREATE INDEX ix_recent_orders_store_name_purchased_at ON reporting.recent_orders (store_name, purchased_at, amazon_order_id);
COMMENT ON TABLE reporting.recent_orders IS 'One row per Amazon order: the Recent Orders view. Refreshed by the DAG orders_to_reporting.';
COMMENT ON COLUMN reporting.recent_orders.store_name IS 'Store (stores.yaml); the account''s name for an order of no connected store.';
COMMENT ON COLUMN reporting.recent_orders.purchased_at IS 'When the buyer bought, UTC.';
COMMENT ON COLUMN reporting.recent_orders.amazon_order_id IS 'Amazon''s order id.';
COMMENT ON COLUMN reporting.recent_orders.status IS 'Pending, Pending Availability, Unshipped, Partially Shipped, Shipped, Completed, Canceled, Error, or a word of Amazon''s that is new to us.';
COMMENT ON COLUMN reporting.recent_orders.grand_total_amount IS 'Grand total; null while Amazon does not give it, never zero instead.';
COMMENT ON COLUMN reporting.recent_orders.currency_code IS 'Currency of the grand total, ISO 4217.';
COMMENT ON COLUMN reporting.recent_orders.order_notes IS 'What happened last, or what holds the order and what to do; at most 500 characters, no personal data.';
COMMENT ON COLUMN reporting.recent_orders.order_url IS 'Commerce order if there is one, otherwise Seller Central.';
COMMENT ON COLUMN reporting.recent_orders.commerce_order_number IS 'Number of the Commerce order.';
COMMENT ON COLUMN reporting.recent_orders.fulfilled_by IS 'MERCHANT or AMAZON.';
COMMENT ON COLUMN reporting.recent_orders.ship_by_at IS 'Latest moment to ship, UTC.';
COMMENT ON COLUMN reporting.recent_orders.is_blocked IS 'A critical blocker, a refusal or an exhausted retry holds the order.';
COMMENT ON COLUMN reporting.recent_orders.blocker_codes IS 'Codes of the open critical blockers, sorted.';
COMMENT ON COLUMN reporting.recent_orders.last_updated_at IS 'Amazon''s last update of the order, UTC.';
COMMENT ON COLUMN reporting.recent_orders.loaded_at IS 'When this row was written, UTC.';
COMMENT ON COLUMN reporting.recent_orders.dag_run_id IS 'Airflow run that wrote this row.';
CREATE TABLE core.orders (
    amazon_order_id TEXT NOT NULL,
    account_name TEXT NOT NULL,
    marketplace_id TEXT,
    store_name TEXT,
    amazon_status TEXT NOT NULL,
    fulfilled_by TEXT,
    service_level TEXT,
    purchased_at TIMESTAMP WITH TIME ZONE NOT NULL,
    amazon_last_updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ship_by_at TIMESTAMP WITH TIME ZONE,
    deliver_by_at TIMESTAMP WITH TIME ZONE,
    grand_total_amount NUMERIC(20, 4),
    line_total_amount NUMERIC(20, 4),
    currency_code TEXT,
    has_total_mismatch BOOLEAN DEFAULT 'false' NOT NULL,
    programs TEXT[] DEFAULT '{}' NOT NULL,
    replaced_amazon_order_id TEXT,
    item_count INTEGER DEFAULT '0' NOT NULL,
    ordered_qty INTEGER DEFAULT '0' NOT NULL,
    fulfilled_qty INTEGER DEFAULT '0' NOT NULL,
    is_buyer_cancel_requested BOOLEAN DEFAULT 'false' NOT NULL,
    pipeline_state TEXT NOT NULL,
    state_reason TEXT,
    payload_sha256 TEXT NOT NULL,
    status_dag_run_id TEXT NOT NULL,
    dag_run_id TEXT NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    loaded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_orders PRIMARY KEY (amazon_order_id),
    CONSTRAINT ck_orders_pipeline_state CHECK (pipeline_state IN ('new', 'waiting', 'not_imported', 'blocked', 'ready', 'in_doubt', 'rejected', 'created', 'completed', 'canceled')),
    CONSTRAINT fk_orders_store_name FOREIGN KEY (store_name) REFERENCES core.stores (store_name) ON UPDATE CASCADE
);
CREATE INDEX ix_orders_open ON core.orders (store_name, pipeline_state) WHERE pipeline_state IN ('new', 'waiting', 'blocked', 'ready', 'rejected');
CREATE INDEX ix_orders_purchased_at ON core.orders (purchased_at, amazon_order_id);
COMMENT ON TABLE core.orders IS 'One row per Amazon order: its newest version.';
COMMENT ON COLUMN core.orders.amazon_order_id IS 'Amazon''s order id.';
COMMENT ON COLUMN core.orders.account_name IS 'Account whose listing held it.';
COMMENT ON COLUMN core.orders.marketplace_id IS 'Amazon''s marketplace id; null for sales outside Amazon.';
COMMENT ON COLUMN core.orders.store_name IS 'Store of stores.yaml; null when none is connected to the marketplace.';
COMMENT ON COLUMN core.orders.amazon_status IS 'Amazon''s fulfillmentStatus as received; UNKNOWN when Amazon sent none.';
COMMENT ON COLUMN core.orders.fulfilled_by IS 'MERCHANT, AMAZON or Amazon''s own word; null when Amazon sent none.';
COMMENT ON COLUMN core.orders.service_level IS 'Amazon''s fulfillmentServiceLevel.';
COMMENT ON COLUMN core.orders.purchased_at IS 'createdTime.';
COMMENT ON COLUMN core.orders.amazon_last_updated_at IS 'lastUpdatedTime of the newest version.';
COMMENT ON COLUMN core.orders.ship_by_at IS 'End of Amazon''s ship-by window.';
COMMENT ON COLUMN core.orders.deliver_by_at IS 'End of Amazon''s deliver-by window.';
COMMENT ON COLUMN core.orders.grand_total_amount IS 'proceeds.grandTotal; null while Amazon gives none.';
COMMENT ON COLUMN core.orders.line_total_amount IS 'Sum of the lines'' proceeds, to hold against the grand total; null without money.';
COMMENT ON COLUMN core.orders.currency_code IS 'Currency of both, ISO 4217.';
COMMENT ON COLUMN core.orders.has_total_mismatch IS 'The lines'' sum differs from the grand total by more than the smallest coin per line.';
COMMENT ON COLUMN core.orders.programs IS 'Amazon''s programs, e.g. PRIME, AMAZON_BUSINESS.';
COMMENT ON COLUMN core.orders.replaced_amazon_order_id IS 'The order that this one replaces or exchanges.';
COMMENT ON COLUMN core.orders.item_count IS 'Lines.';
COMMENT ON COLUMN core.orders.ordered_qty IS 'Units ordered.';
COMMENT ON COLUMN core.orders.fulfilled_qty IS 'Units that Amazon counts as shipped.';
COMMENT ON COLUMN core.orders.is_buyer_cancel_requested IS 'The buyer asks to cancel at least one line.';
COMMENT ON COLUMN core.orders.pipeline_state IS 'Where the order is with us: new, waiting, not_imported, blocked, ready, in_doubt, rejected, created, completed, canceled.';
COMMENT ON COLUMN core.orders.state_reason IS 'Why it is there, in a short sentence without personal data.';
COMMENT ON COLUMN core.orders.payload_sha256 IS 'Version in raw.amazon_orders.';
COMMENT ON COLUMN core.orders.status_dag_run_id IS 'Airflow run that staged the current Amazon status.';
COMMENT ON COLUMN core.orders.dag_run_id IS 'Airflow run that wrote this row last.';
COMMENT ON COLUMN core.orders.first_seen_at IS 'When the order was first staged.';
COMMENT ON COLUMN core.orders.loaded_at IS 'When this row was written last.';
CREATE TABLE ops.ingest_pages (
    ingest_window_id BIGINT NOT NULL,
    page_number BIGINT NOT NULL,
    page_sha256 TEXT NOT NULL,
    orders_seen INTEGER DEFAULT '0' NOT NULL,
    landed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    staged_at TIMESTAMP WITH TIME ZONE,
    request_id TEXT,
    CONSTRAINT pk_ingest_pages PRIMARY KEY (ingest_window_id, page_number),
    CONSTRAINT fk_ingest_pages_ingest_window_id FOREIGN KEY (ingest_window_id) REFERENCES ops.ingest_windows (ingest_window_id)
);
CREATE INDEX ix_ingest_pages_unstaged ON ops.ingest_pages (ingest_window_id, page_number) WHERE staged_at IS null;
COMMENT ON TABLE ops.ingest_pages IS 'Pages of the windows: landed one by one, staged one by one.';
COMMENT ON COLUMN ops.ingest_pages.ingest_window_id IS 'The window.';
COMMENT ON COLUMN ops.ingest_pages.page_number IS 'From 1.';
COMMENT ON COLUMN ops.ingest_pages.page_sha256 IS 'SHA-256 of the page''s order ids and versions: Amazon can repeat a page under another token.';
COMMENT ON COLUMN ops.ingest_pages.orders_seen IS 'Orders on the page.';
COMMENT ON COLUMN ops.ingest_pages.landed_at IS 'When the page was committed.';
COMMENT ON COLUMN ops.ingest_pages.staged_at IS 'When its orders reached core; null until then.';
COMMENT ON COLUMN ops.ingest_pages.request_id IS 'Amazon''s request id, for support.';
CREATE TABLE core.order_items (
    amazon_order_id TEXT NOT NULL,
    amazon_item_id TEXT NOT NULL,
    line_number INTEGER DEFAULT '0' NOT NULL,
    seller_sku TEXT NOT NULL,
    asin TEXT,
    title TEXT,
    ordered_qty INTEGER DEFAULT '0' NOT NULL,
    fulfilled_qty INTEGER DEFAULT '0' NOT NULL,
    currency_code TEXT,
    unit_price_amount NUMERIC(20, 4),
    item_amount NUMERIC(20, 4),
    shipping_amount NUMERIC(20, 4),
    gift_wrap_amount NUMERIC(20, 4),
    tax_amount NUMERIC(20, 4),
    discount_amount NUMERIC(20, 4),
    other_amount NUMERIC(20, 4),
    line_total_amount NUMERIC(20, 4),
    is_buyer_cancel_requested BOOLEAN DEFAULT 'false' NOT NULL,
    commerce_item_id TEXT,
    CONSTRAINT pk_order_items PRIMARY KEY (amazon_order_id, amazon_item_id),
    CONSTRAINT fk_order_items_amazon_order_id FOREIGN KEY (amazon_order_id) REFERENCES core.orders (amazon_order_id)
);
COMMENT ON TABLE core.order_items IS 'One row per line of an Amazon order''s newest version.';
COMMENT ON COLUMN core.order_items.amazon_order_id IS 'Amazon''s order id.';
COMMENT ON COLUMN core.order_items.amazon_item_id IS 'Amazon''s orderItemId.';
COMMENT ON COLUMN core.order_items.line_number IS 'Position in Amazon''s document, from 1.';
COMMENT ON COLUMN core.order_items.seller_sku IS 'Amazon''s sellerSku; empty when Amazon sent none.';
COMMENT ON COLUMN core.order_items.asin IS 'Amazon''s catalog id; always text.';
COMMENT ON COLUMN core.order_items.title IS 'Title on Amazon.';
COMMENT ON COLUMN core.order_items.ordered_qty IS 'Units ordered.';
COMMENT ON COLUMN core.order_items.fulfilled_qty IS 'Units that Amazon counts as shipped.';
COMMENT ON COLUMN core.order_items.currency_code IS 'Currency of the amounts, ISO 4217.';
COMMENT ON COLUMN core.order_items.unit_price_amount IS 'Price of one unit.';
COMMENT ON COLUMN core.order_items.item_amount IS 'Goods of the whole line (ITEM).';
COMMENT ON COLUMN core.order_items.shipping_amount IS 'Shipping of the whole line (SHIPPING).';
COMMENT ON COLUMN core.order_items.gift_wrap_amount IS 'Gift wrap of the whole line (GIFT_WRAP).';
COMMENT ON COLUMN core.order_items.tax_amount IS 'Tax of the whole line (TAX).';
COMMENT ON COLUMN core.order_items.discount_amount IS 'Discount of the whole line (DISCOUNT), as a positive amount.';
COMMENT ON COLUMN core.order_items.other_amount IS 'COD_FEE, OTHER and breakdown types that we do not know.';
COMMENT ON COLUMN core.order_items.line_total_amount IS 'proceedsTotal of the line.';
COMMENT ON COLUMN core.order_items.is_buyer_cancel_requested IS 'The buyer asks to cancel this line.';
COMMENT ON COLUMN core.order_items.commerce_item_id IS 'Commerce''s order item id, once the order is linked.';
CREATE TABLE core.order_status_changes (
    amazon_order_id TEXT NOT NULL,
    system_code TEXT NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    to_code TEXT NOT NULL,
    from_code TEXT,
    reason TEXT,
    detected_at TIMESTAMP WITH TIME ZONE NOT NULL,
    dag_run_id TEXT NOT NULL,
    CONSTRAINT pk_order_status_changes PRIMARY KEY (amazon_order_id, system_code, changed_at, to_code),
    CONSTRAINT fk_order_status_changes_amazon_order_id FOREIGN KEY (amazon_order_id) REFERENCES core.orders (amazon_order_id)
);
COMMENT ON TABLE core.order_status_changes IS 'History of Amazon''s status and of our pipeline state of each order.';
COMMENT ON COLUMN core.order_status_changes.amazon_order_id IS 'Amazon''s order id.';
COMMENT ON COLUMN core.order_status_changes.system_code IS 'amazon or pipeline.';
COMMENT ON COLUMN core.order_status_changes.changed_at IS 'When the new state began: Amazon''s lastUpdatedTime, or our clock.';
COMMENT ON COLUMN core.order_status_changes.to_code IS 'The new state.';
COMMENT ON COLUMN core.order_status_changes.from_code IS 'The state before; null for the first.';
COMMENT ON COLUMN core.order_status_changes.reason IS 'Why, in a short sentence without personal data.';
COMMENT ON COLUMN core.order_status_changes.detected_at IS 'When we saw it.';
COMMENT ON COLUMN core.order_status_changes.dag_run_id IS 'Airflow run that saw it.';
CREATE TABLE core.shipments (
    commerce_connection TEXT NOT NULL,
    commerce_shipment_id TEXT NOT NULL,
    commerce_order_id TEXT NOT NULL,
    amazon_order_id TEXT NOT NULL,
    shipped_at TIMESTAMP WITH TIME ZONE NOT NULL,
    loaded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    dag_run_id TEXT NOT NULL,
    CONSTRAINT pk_shipments PRIMARY KEY (commerce_connection, commerce_shipment_id),
    CONSTRAINT fk_shipments_amazon_order_id FOREIGN KEY (amazon_order_id) REFERENCES core.orders (amazon_order_id)
);
CREATE INDEX ix_shipments_amazon_order_id ON core.shipments (amazon_order_id);
COMMENT ON TABLE core.shipments IS 'Commerce shipments of linked orders.';
COMMENT ON COLUMN core.shipments.commerce_connection IS 'Airflow connection of the shop.';
COMMENT ON COLUMN core.shipments.commerce_shipment_id IS 'Commerce''s shipment id (entity_id).';
COMMENT ON COLUMN core.shipments.commerce_order_id IS 'Commerce''s order id (entity_id).';
COMMENT ON COLUMN core.shipments.amazon_order_id IS 'Amazon''s order id.';
COMMENT ON COLUMN core.shipments.shipped_at IS 'When the shipment was made in Commerce.';
COMMENT ON COLUMN core.shipments.loaded_at IS 'When this row was written last.';
COMMENT ON COLUMN core.shipments.dag_run_id IS 'Airflow run that wrote it.';
CREATE TABLE ops.blocker_episodes (
    blocker_episode_id BIGINT GENERATED ALWAYS AS IDENTITY,
    amazon_order_id TEXT NOT NULL,
    amazon_item_id TEXT NOT NULL,
    blocker_code TEXT NOT NULL,
    severity TEXT NOT NULL,
    seller_sku TEXT,
    catalog_sku TEXT,
    message TEXT NOT NULL,
    remedy TEXT NOT NULL,
    requested_qty NUMERIC(12, 4),
    available_qty NUMERIC(12, 4),
    affected_amount NUMERIC(20, 4),
    currency_code TEXT,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    closed_by_code TEXT,
    check_count INTEGER DEFAULT '0' NOT NULL,
    dag_run_id TEXT NOT NULL,
    CONSTRAINT pk_blocker_episodes PRIMARY KEY (blocker_episode_id),
    CONSTRAINT fk_blocker_episodes_amazon_order_id FOREIGN KEY (amazon_order_id) REFERENCES core.orders (amazon_order_id)
);
CREATE UNIQUE INDEX uq_blocker_episodes_open ON ops.blocker_episodes (amazon_order_id, amazon_item_id, blocker_code) WHERE closed_at IS null;
COMMENT ON TABLE ops.blocker_episodes IS 'Blockers as episodes: when each began, when it ended and how.';
COMMENT ON COLUMN ops.blocker_episodes.blocker_episode_id IS 'One stretch of time in which one blocker held one line.';
COMMENT ON COLUMN ops.blocker_episodes.amazon_order_id IS 'Amazon''s order id.';
COMMENT ON COLUMN ops.blocker_episodes.amazon_item_id IS 'Amazon''s orderItemId; empty when the whole order is meant.';
COMMENT ON COLUMN ops.blocker_episodes.blocker_code IS 'Kind of blocker.';
COMMENT ON COLUMN ops.blocker_episodes.severity IS 'critical holds the order, warning flags it, info counts.';
COMMENT ON COLUMN ops.blocker_episodes.seller_sku IS 'SKU on Amazon.';
COMMENT ON COLUMN ops.blocker_episodes.catalog_sku IS 'SKU that was looked for in Commerce.';
COMMENT ON COLUMN ops.blocker_episodes.message IS 'What is wrong, for people.';
COMMENT ON COLUMN ops.blocker_episodes.remedy IS 'What to do, for people.';
COMMENT ON COLUMN ops.blocker_episodes.requested_qty IS 'Units that the line needs.';
COMMENT ON COLUMN ops.blocker_episodes.available_qty IS 'Units that were free for it.';
COMMENT ON COLUMN ops.blocker_episodes.affected_amount IS 'Goods of the line.';
COMMENT ON COLUMN ops.blocker_episodes.currency_code IS 'Currency of that amount, ISO 4217.';
COMMENT ON COLUMN ops.blocker_episodes.opened_at IS 'First check that found it.';
COMMENT ON COLUMN ops.blocker_episodes.last_seen_at IS 'Last check that found it.';
COMMENT ON COLUMN ops.blocker_episodes.closed_at IS 'First check that did not find it any more; null: still open.';
COMMENT ON COLUMN ops.blocker_episodes.closed_by_code IS 'solved, cancelled or settings_changed.';
COMMENT ON COLUMN ops.blocker_episodes.check_count IS 'Checks that found it.';
COMMENT ON COLUMN ops.blocker_episodes.dag_run_id IS 'Airflow run that wrote this row last.';
CREATE TABLE ops.order_outbox (
    amazon_order_id TEXT NOT NULL,
    account_name TEXT NOT NULL,
    store_name TEXT NOT NULL,
    commerce_connection TEXT NOT NULL,
    commerce_store_view TEXT NOT NULL,
    increment_id TEXT,
    state TEXT NOT NULL,
    request_sha256 TEXT,
    attempts INTEGER DEFAULT '0' NOT NULL,
    refusals INTEGER DEFAULT '0' NOT NULL,
    not_found_count INTEGER DEFAULT '0' NOT NULL,
    planned_at TIMESTAMP WITH TIME ZONE NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    next_attempt_at TIMESTAMP WITH TIME ZONE,
    last_error_code TEXT,
    last_error TEXT,
    commerce_order_id TEXT,
    commerce_order_number TEXT,
    linked_at TIMESTAMP WITH TIME ZONE,
    linked_dag_run_id TEXT,
    invoiced_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    dag_run_id TEXT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_order_outbox PRIMARY KEY (amazon_order_id),
    CONSTRAINT ck_order_outbox_state CHECK (state IN ('planned', 'sent', 'in_doubt', 'created', 'adopted', 'rejected', 'cancelled')),
    CONSTRAINT ck_order_outbox_linked CHECK ((state IN ('created', 'adopted')) = (commerce_order_id IS NOT null)),
    CONSTRAINT uq_order_outbox_commerce_connection_commerce_order_id UNIQUE (commerce_connection, commerce_order_id),
    CONSTRAINT uq_order_outbox_commerce_connection_commerce_store_view_5464 UNIQUE (commerce_connection, commerce_store_view, increment_id),
    CONSTRAINT fk_order_outbox_amazon_order_id FOREIGN KEY (amazon_order_id) REFERENCES core.orders (amazon_order_id)
);
CREATE INDEX ix_order_outbox_open ON ops.order_outbox (account_name, state) WHERE finished_at IS null;
COMMENT ON TABLE ops.order_outbox IS 'One intended Commerce order per Amazon order: intent, attempts, outcome.';
COMMENT ON COLUMN ops.order_outbox.amazon_order_id IS 'Amazon''s order id: one intended Commerce order each.';
COMMENT ON COLUMN ops.order_outbox.account_name IS 'Account.';
COMMENT ON COLUMN ops.order_outbox.store_name IS 'Store of stores.yaml.';
COMMENT ON COLUMN ops.order_outbox.commerce_connection IS 'Airflow connection of the shop.';
COMMENT ON COLUMN ops.order_outbox.commerce_store_view IS 'Store view code that the order goes to.';
COMMENT ON COLUMN ops.order_outbox.increment_id IS 'Order number that we ask for; null: Commerce draws one.';
COMMENT ON COLUMN ops.order_outbox.state IS 'One of planned, sent, in_doubt, created, adopted, rejected, cancelled.';
COMMENT ON COLUMN ops.order_outbox.request_sha256 IS 'SHA-256 of the order document that was sent.';
COMMENT ON COLUMN ops.order_outbox.attempts IS 'Times the order was posted.';
COMMENT ON COLUMN ops.order_outbox.refusals IS 'Refusals since Amazon changed the order last; too many end the tries.';
COMMENT ON COLUMN ops.order_outbox.not_found_count IS 'Times an in-doubt order was looked for and not found.';
COMMENT ON COLUMN ops.order_outbox.planned_at IS 'When validation promised the order.';
COMMENT ON COLUMN ops.order_outbox.sent_at IS 'When it was posted last.';
COMMENT ON COLUMN ops.order_outbox.next_attempt_at IS 'Not before this moment again.';
COMMENT ON COLUMN ops.order_outbox.last_error_code IS 'Code of the last failure.';
COMMENT ON COLUMN ops.order_outbox.last_error IS 'The last failure in a sentence without personal data.';
COMMENT ON COLUMN ops.order_outbox.commerce_order_id IS 'Commerce''s order id (entity_id).';
COMMENT ON COLUMN ops.order_outbox.commerce_order_number IS 'Commerce''s order number (increment_id).';
COMMENT ON COLUMN ops.order_outbox.linked_at IS 'When the Commerce order''s id was committed here.';
COMMENT ON COLUMN ops.order_outbox.linked_dag_run_id IS 'Airflow run that linked it.';
COMMENT ON COLUMN ops.order_outbox.invoiced_at IS 'When the Commerce order was invoiced.';
COMMENT ON COLUMN ops.order_outbox.finished_at IS 'When nothing was left to do for the creation (invoice, status).';
COMMENT ON COLUMN ops.order_outbox.dag_run_id IS 'Airflow run that wrote this row last.';
COMMENT ON COLUMN ops.order_outbox.updated_at IS 'When this row was written last.';
CREATE TABLE ops.shipment_outbox (
    amazon_order_id TEXT NOT NULL,
    package_reference_id TEXT NOT NULL,
    account_name TEXT NOT NULL,
    marketplace_id TEXT NOT NULL,
    commerce_connection TEXT NOT NULL,
    commerce_shipment_id TEXT NOT NULL,
    commerce_track_id TEXT NOT NULL,
    carrier_code TEXT NOT NULL,
    carrier_name TEXT,
    shipping_method TEXT,
    tracking_number TEXT NOT NULL,
    shipped_at TIMESTAMP WITH TIME ZONE NOT NULL,
    items JSONB NOT NULL,
    request_sha256 TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    verify_count INTEGER DEFAULT '0' NOT NULL,
    planned_at TIMESTAMP WITH TIME ZONE NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    next_attempt_at TIMESTAMP WITH TIME ZONE,
    accepted_at TIMESTAMP WITH TIME ZONE,
    last_error_code TEXT,
    last_error TEXT,
    dag_run_id TEXT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_shipment_outbox PRIMARY KEY (amazon_order_id, package_reference_id),
    CONSTRAINT ck_shipment_outbox_state CHECK (state IN ('planned', 'sent', 'in_doubt', 'accepted', 'rejected', 'skipped')),
    CONSTRAINT uq_shipment_outbox_commerce_connection_commerce_shipmen_add0 UNIQUE (commerce_connection, commerce_shipment_id, commerce_track_id),
    CONSTRAINT fk_shipment_outbox_amazon_order_id FOREIGN KEY (amazon_order_id) REFERENCES core.orders (amazon_order_id)
);
CREATE INDEX ix_shipment_outbox_open ON ops.shipment_outbox (account_name, state) WHERE state IN ('planned', 'sent', 'in_doubt');
COMMENT ON TABLE ops.shipment_outbox IS 'One package per row that Amazon is to be told about: intent, attempts, Amazon''s acceptance.';
COMMENT ON COLUMN ops.shipment_outbox.amazon_order_id IS 'Amazon''s order id.';
COMMENT ON COLUMN ops.shipment_outbox.package_reference_id IS 'Our number of the package within the order (digits); the same for every try.';
COMMENT ON COLUMN ops.shipment_outbox.account_name IS 'Account.';
COMMENT ON COLUMN ops.shipment_outbox.marketplace_id IS 'Amazon''s marketplace id.';
COMMENT ON COLUMN ops.shipment_outbox.commerce_connection IS 'Airflow connection of the shop.';
COMMENT ON COLUMN ops.shipment_outbox.commerce_shipment_id IS 'Commerce''s shipment id.';
COMMENT ON COLUMN ops.shipment_outbox.commerce_track_id IS 'Commerce''s track id.';
COMMENT ON COLUMN ops.shipment_outbox.carrier_code IS 'Amazon''s carrier code; Other when we have none.';
COMMENT ON COLUMN ops.shipment_outbox.carrier_name IS 'Carrier in words, when the code is Other.';
COMMENT ON COLUMN ops.shipment_outbox.shipping_method IS 'Shipping service.';
COMMENT ON COLUMN ops.shipment_outbox.tracking_number IS 'Tracking number.';
COMMENT ON COLUMN ops.shipment_outbox.shipped_at IS 'Ship date that Amazon is told.';
COMMENT ON COLUMN ops.shipment_outbox.items IS 'Lines in this package: list of {orderItemId, quantity}.';
COMMENT ON COLUMN ops.shipment_outbox.request_sha256 IS 'SHA-256 of what Amazon is told; another value means: tell Amazon again under the same number.';
COMMENT ON COLUMN ops.shipment_outbox.state IS 'One of planned, sent, in_doubt, accepted, rejected, skipped.';
COMMENT ON COLUMN ops.shipment_outbox.attempts IS 'Times Amazon was told or refused.';
COMMENT ON COLUMN ops.shipment_outbox.verify_count IS 'Times Amazon was asked whether it has the package.';
COMMENT ON COLUMN ops.shipment_outbox.planned_at IS 'When the package was first seen.';
COMMENT ON COLUMN ops.shipment_outbox.sent_at IS 'When Amazon was told last.';
COMMENT ON COLUMN ops.shipment_outbox.next_attempt_at IS 'Not before this moment again.';
COMMENT ON COLUMN ops.shipment_outbox.accepted_at IS 'When Amazon was seen to have the package.';
COMMENT ON COLUMN ops.shipment_outbox.last_error_code IS 'Code of the last failure.';
COMMENT ON COLUMN ops.shipment_outbox.last_error IS 'The last failure, or why it was skipped, in a sentence.';
COMMENT ON COLUMN ops.shipment_outbox.dag_run_id IS 'Airflow run that wrote this row last.';
COMMENT ON COLUMN ops.shipment_outbox.updated_at IS 'When this row was written last.';
CREATE TABLE raw.amazon_orders (
    amazon_order_version_id BIGINT GENERATED ALWAYS AS IDENTITY,
    amazon_order_id TEXT NOT NULL,
    account_name TEXT NOT NULL,
    last_updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    payload_sha256 TEXT NOT NULL,
    payload JSONB NOT NULL,
    contract_findings TEXT[] DEFAULT '{}' NOT NULL,
    ingest_window_id BIGINT NOT NULL,
    page_number BIGINT NOT NULL,
    fetched_at TIMESTAMP WITH TIME ZONE NOT NULL,
    dag_run_id TEXT NOT NULL,
    CONSTRAINT pk_amazon_orders PRIMARY KEY (amazon_order_version_id),
    CONSTRAINT uq_amazon_orders_amazon_order_id_last_updated_at_payload_sha256 UNIQUE (amazon_order_id, last_updated_at, payload_sha256),
    CONSTRAINT fk_amazon_orders_page FOREIGN KEY (ingest_window_id, page_number) REFERENCES ops.ingest_pages (ingest_window_id, page_number)
);
CREATE INDEX ix_amazon_orders_page ON raw.amazon_orders (ingest_window_id, page_number);
COMMENT ON TABLE raw.amazon_orders IS 'Every version of every Amazon order that a listing showed us, without personal data.';
COMMENT ON COLUMN raw.amazon_orders.amazon_order_version_id IS 'One landed version of one order.';
COMMENT ON COLUMN raw.amazon_orders.amazon_order_id IS 'Amazon''s order id.';
COMMENT ON COLUMN raw.amazon_orders.account_name IS 'Account (stores.yaml) whose listing held it.';
COMMENT ON COLUMN raw.amazon_orders.last_updated_at IS 'lastUpdatedTime of this version.';
COMMENT ON COLUMN raw.amazon_orders.payload_sha256 IS 'SHA-256 of the payload below, in canonical JSON; tells versions apart.';
COMMENT ON COLUMN raw.amazon_orders.payload IS 'Amazon''s order document without personal data and without fields that our contract does not know.';
COMMENT ON COLUMN raw.amazon_orders.contract_findings IS 'Paths that Amazon''s answer has and our contract does not, and unknown enum values; paths and codes only.';
COMMENT ON COLUMN raw.amazon_orders.ingest_window_id IS 'Window whose page held this version first.';
COMMENT ON COLUMN raw.amazon_orders.page_number IS 'Page of that window, from 1.';
COMMENT ON COLUMN raw.amazon_orders.fetched_at IS 'When the page was fetched.';
COMMENT ON COLUMN raw.amazon_orders.dag_run_id IS 'Airflow run that fetched it.';
CREATE TABLE core.shipment_items (
    commerce_connection TEXT NOT NULL,
    commerce_shipment_id TEXT NOT NULL,
    amazon_item_id TEXT NOT NULL,
    qty NUMERIC(12, 4) NOT NULL,
    CONSTRAINT pk_shipment_items PRIMARY KEY (commerce_connection, commerce_shipment_id, amazon_item_id),
    CONSTRAINT fk_shipment_items_shipment FOREIGN KEY (commerce_connection, commerce_shipment_id) REFERENCES core.shipments (commerce_connection, commerce_shipment_id)
);
COMMENT ON TABLE core.shipment_items IS 'Lines of Commerce shipments.';
COMMENT ON COLUMN core.shipment_items.commerce_connection IS 'Airflow connection of the shop.';
COMMENT ON COLUMN core.shipment_items.commerce_shipment_id IS 'Commerce''s shipment id.';
COMMENT ON COLUMN core.shipment_items.amazon_item_id IS 'Amazon''s orderItemId.';
COMMENT ON COLUMN core.shipment_items.qty IS 'Units in this shipment.';
CREATE TABLE core.shipment_tracks (
    commerce_connection TEXT NOT NULL,
    commerce_shipment_id TEXT NOT NULL,
    commerce_track_id TEXT NOT NULL,
    carrier_code TEXT,
    carrier_title TEXT,
    tracking_number TEXT NOT NULL,
    CONSTRAINT pk_shipment_tracks PRIMARY KEY (commerce_connection, commerce_shipment_id, commerce_track_id),
    CONSTRAINT fk_shipment_tracks_shipment FOREIGN KEY (commerce_connection, commerce_shipment_id) REFERENCES core.shipments (commerce_connection, commerce_shipment_id)
);
COMMENT ON TABLE core.shipment_tracks IS 'Tracking numbers of Commerce shipments.';
COMMENT ON COLUMN core.shipment_tracks.commerce_connection IS 'Airflow connection of the shop.';
COMMENT ON COLUMN core.shipment_tracks.commerce_shipment_id IS 'Commerce''s shipment id.';
COMMENT ON COLUMN core.shipment_tracks.commerce_track_id IS 'Commerce''s track id (entity_id).';
COMMENT ON COLUMN core.shipment_tracks.carrier_code IS 'Commerce''s carrier code.';
COMMENT ON COLUMN core.shipment_tracks.carrier_title IS 'Carrier as people see it.';
COMMENT ON COLUMN core.shipment_tracks.tracking_number IS 'Tracking number.';
