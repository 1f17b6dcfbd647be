-- Findings that block nothing are few among the open blockers, and every run reads those of its shop.
create index ix_blocker_episodes_findings on ops.blocker_episodes (amazon_order_id)
where closed_at is null and severity = 'warning';
