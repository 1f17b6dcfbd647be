-- What people need to know of the DAG runs, where the page and analysts can read it.
create table ops.dag_runs (
    dag_id text not null,
    dag_run_id text not null,
    state text not null,
    started_at timestamp with time zone not null,
    ended_at timestamp with time zone,
    next_run_at timestamp with time zone,
    overdue_at timestamp with time zone,
    at_work jsonb default '{}' not null,
    failures jsonb default '{}' not null,
    constraint pk_dag_runs primary key (dag_id, dag_run_id),
    constraint ck_dag_runs_state check (state in ('running', 'success', 'failed'))
);

create index ix_dag_runs_started_at on ops.dag_runs (dag_id, started_at);
create index ix_dag_runs_success on ops.dag_runs (dag_id, ended_at) where state = 'success';
