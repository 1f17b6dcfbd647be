"""What one task needs: clients, engine, stores and keys, each built when it is first asked for.

Using them reports in `ops.dag_runs` how the task's DAG run goes; `run_complete` ends a run of several tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from include.connections import amazon_connection, commerce_connection, open_database
from include.domain.errors import MisconfiguredError, OrdersError, TasksFailedError, ThrottledError, explain
from include.retry_policy import show_reasons_in_task_logs
from include.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from sqlalchemy import Engine

    from include.adapters.amazon.client import AmazonClient
    from include.adapters.commerce.client import CommerceClient
    from include.adapters.http import Timeouts
    from include.adapters.personal_data import PersonalDataCipher
    from include.domain.cancellations import CancellationGateway
    from include.domain.carriers import Carriers
    from include.domain.stores import Account, Stores
    from include.outbox.dag_runs import DagRunReport, TaskInstance

log = logging.getLogger(__name__)

# What Airflow calls a task instance that works for one account.
ACCOUNT = "{{ task.op_kwargs['account_name'] }}"
ASKED = "ask_a_person"  # the task that waits for an answer


def utc_now() -> datetime:
    """The wall clock, UTC. Steps get it as an argument."""
    return datetime.now(UTC)


class Resources:
    """What one task needs. Use as a context manager: it closes the clients and the connections to the database.

    In a task of Airflow it also reports that the task begins, and why it fails. Entering raises MisconfiguredError
    when the params of the DAG run are wrong: then no task of the run does anything.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        show_reasons_in_task_logs()
        self.settings = settings or Settings.from_environment()
        self._commerce: dict[str, CommerceClient] = {}
        self._amazon: dict[str, AmazonClient] = {}
        self._databases: dict[str, Engine] = {}

    def __enter__(self) -> Resources:
        self._report_start()
        if self._refusal is not None:
            self.__exit__(None, self._refusal, None)
            raise self._refusal
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        try:
            self._report_end(error)
        finally:
            self._close()

    def _close(self) -> None:
        for shop in self._commerce.values():
            shop.close()
        for seller in self._amazon.values():
            seller.close()
        for engine in self._databases.values():
            engine.dispose()

    @property
    def run_id(self) -> str:
        """The id of the DAG run that this task belongs to; every row says which run wrote it."""
        run_id: str = get_current_context()["run_id"]
        return run_id

    @property
    def params(self) -> dict[str, Any]:
        """The params of the DAG run."""
        return dict(get_current_context()["params"])

    @cached_property
    def _refusal(self) -> MisconfiguredError | None:
        """What is wrong with the params of the DAG run: a key that the DAG does not have, or an unknown account."""
        context = _context()
        if context is None:
            return None
        known, given = set(context["dag"].params), set(context["dag_run"].conf or {})
        if unknown := sorted(given - known):
            hint = f"with {', '.join(sorted(known))} only" if known else "without any"
            return MisconfiguredError(
                f"The DAG {context['dag'].dag_id} has no param {', '.join(unknown)}. Nothing was done. Resolution: "
                f"trigger it {hint}."
            )
        if wanted := context["params"].get("accounts"):
            try:
                names = {account.name for account in self.stores.accounts}
            except OrdersError:
                return None  # the task itself says what is wrong with the file
            if unknown := sorted(set(map(str, wanted)) - names):
                return MisconfiguredError(
                    f"The param accounts names {', '.join(unknown)}, which {self.settings.stores_file} does not have. "
                    f"Nothing was done. Resolution: use {', '.join(sorted(names))}."
                )
        return None

    def selected(self, account_names: Collection[str]) -> list[str]:
        """Those of the accounts that the run's param `accounts` names; all when it names none."""
        wanted = self.params["accounts"]
        # Without it also accounts that have left the file.
        return [name for name in account_names if not wanted or name in wanted]

    @property
    def user_name(self) -> str:
        """The Airflow user who triggered the DAG run; `nobody` for runs that no user triggered."""
        name: str | None = getattr(get_current_context()["dag_run"], "triggering_user_name", None)
        return name or "nobody"

    @property
    def answer(self) -> dict[str, Any] | None:
        """What the question of `ask_a_person` came to; None when nobody was asked."""
        found: dict[str, Any] | None = get_current_context()["ti"].xcom_pull(task_ids=ASKED)
        return found

    @property
    def run(self) -> dict[str, Any]:
        """What a step gets of its run: the time (UTC) and the run's id."""
        return {"now": utc_now(), "dag_run_id": self.run_id}

    @property
    def timed_run(self) -> dict[str, Any]:
        """The same for steps that take long: a clock instead of a time."""
        return {"clock": utc_now, "dag_run_id": self.run_id}

    @cached_property
    def _report(self) -> DagRunReport:
        from include.outbox.dag_runs import DagRunReport, next_run_at

        context = get_current_context()
        dag = context["dag"]
        # A run that is refused says as little about the sync as a rehearsal.
        is_dry_run = bool(context["params"].get("dry_run")) or self._refusal is not None
        next_at = next_run_at(dag.schedule, utc_now())
        return DagRunReport(self.engine, dag.dag_id, self.run_id, next_at, is_dry_run=is_dry_run)

    def _report_start(self) -> None:
        """Report that the task begins. If that fails, its work will say why: some of it is to find that out."""
        from sqlalchemy.exc import SQLAlchemyError

        context = _context()
        if context is None:
            return
        try:
            self._report.begin_task(_task_instance(context), utc_now(), self.settings.task_timeout)
        except (OrdersError, SQLAlchemyError) as error:
            log.warning("The start of the task could not be reported: %s", explain(error) or type(error).__name__)

    def _report_end(self, error: BaseException | None) -> None:
        """Report why the task failed and, from the last task, that the run is over."""
        from sqlalchemy.exc import SQLAlchemyError

        from include.outbox.dag_runs import unforeseen

        context = _context()
        if context is None:
            return
        instance, reason = _task_instance(context), None
        if error is not None and not isinstance(error, TasksFailedError):
            reason = explain(error) or unforeseen(error)
        try:
            self._report.end_task(instance, utc_now(), reason=reason, pause=self._longest_pause(error))
            if instance.task_id in [leaf.task_id for leaf in context["dag"].leaves]:
                self._report.end(utc_now(), is_success=error is None)
        except (OrdersError, SQLAlchemyError) as another:
            if error is None:
                raise
            log.warning("The failure could not be reported: %s", explain(another) or type(another).__name__)

    def _longest_pause(self, error: BaseException | None) -> timedelta:
        """How long Airflow waits at the most before it tries a task again."""
        if error is None:
            return timedelta(0)
        last_delay: timedelta = self.settings.retry_delay * 2**self.settings.task_retries
        return max(error.retry_after, last_delay) if isinstance(error, ThrottledError) else last_delay

    def raise_if_tasks_failed(self) -> None:
        """Ask Airflow which tasks of the run have failed; raise TasksFailedError with their reasons if any have."""
        context = get_current_context()
        states = context["ti"].get_task_states(context["dag"].dag_id, run_ids=[self.run_id])[self.run_id]
        reasons = self._report.settle(states)
        if reasons:
            tasks: dict[str, list[str]] = {}
            for name, reason in reasons.items():
                tasks.setdefault(reason, []).append(name)
            raise TasksFailedError("; ".join(f"{', '.join(names)}: {reason}" for reason, names in tasks.items()))

    @cached_property
    def stores(self) -> Stores:
        """The stores of `stores_file`."""
        from include.adapters.stores_file import load_stores

        return load_stores(self.settings.stores_file)

    @cached_property
    def carriers(self) -> Carriers:
        """Amazon's carriers: those of `carriers_file` and of the stores."""
        from include.adapters.carriers_file import load_carriers

        return load_carriers(self.settings.carriers_file, self.stores)

    def account(self, name: str) -> Account:
        """One account of the stores file. Raises MisconfiguredError when it is not there any more."""
        try:
            return self.stores.account(name)
        except KeyError:
            raise MisconfiguredError(
                f"There is no account {name!r} in {self.settings.stores_file}. Resolution: put it back, or clear the "
                "run and let the next one read the file."
            ) from None

    @cached_property
    def engine(self) -> Engine:
        """The orders database, as the DAGs' role (connection `orders_db`)."""
        return self.database("orders_db")

    def database(self, name: str) -> Engine:
        """The orders database, as the role of an Airflow connection."""
        if name not in self._databases:
            settings = self.settings
            # An order that is being created holds a session for its lock and uses another beside it.
            size = max(3 * settings.create_connections, 2)
            self._databases[name] = open_database(
                name, application_name="orders_dags", lock_timeout=settings.lock_timeout, pool_size=size
            )
        return self._databases[name]

    @cached_property
    def cipher(self) -> PersonalDataCipher:
        """Encrypts and decrypts personal data with ORDERS_PII_KEYS."""
        from include.adapters.personal_data import PersonalDataCipher

        return PersonalDataCipher(self.settings.pii_key_list())

    def admin_urls(self) -> dict[str, str | None]:
        """The base address of the admin pages behind each Commerce connection of the stores file.

        None for a connection that is missing or wrong: it concerns only the orders of its stores, later on.
        """
        urls: dict[str, str | None] = {}
        for name in sorted({store.commerce_connection for store in self.stores.all()}):
            try:
                urls[name] = commerce_connection(name).admin_url
            except MisconfiguredError as error:
                log.warning("Orders of stores with connection %s cannot be created: %s", name, error)
                urls[name] = None
        return urls

    def amazon(self, account_name: str) -> AmazonClient:
        """The Selling Partner API as one account."""
        if account_name not in self._amazon:
            self._amazon[account_name] = self._make_amazon(self.account(account_name))
        return self._amazon[account_name]

    def cancellations(self, account_name: str) -> CancellationGateway:
        """The way of one account's cancellations to Amazon."""
        from include.adapters.amazon.cancellations import FeedCancellations
        from include.adapters.amazon.feeds import FeedsClient

        return FeedCancellations(FeedsClient(self.amazon(account_name)), self.account(account_name).seller_id)

    def _make_amazon(self, account: Account) -> AmazonClient:
        from include.adapters.amazon.client import AmazonClient
        from include.adapters.amazon.rate_limits import RateLimiter
        from include.adapters.api_calls import DatabaseCallRecorder

        found = amazon_connection(account.connection)
        for key, ours in (("seller_id", account.seller_id), ("region", account.region)):
            theirs = getattr(found, key)
            if theirs != ours:
                raise MisconfiguredError(
                    f"Account {account.name} is {key} {ours} in the stores file, but connection {account.connection} "
                    f"is for {theirs}. Resolution: give the account the connection of its own seller."
                )
        return AmazonClient(
            endpoint=found.endpoint,
            token_url=found.token_url,
            client_id=found.client_id,
            client_secret=found.client_secret,
            refresh_token=found.refresh_token,
            account_name=account.name,
            region=account.region,
            connection=account.connection,
            limiter=RateLimiter(
                self.engine,
                found.client_id,
                account.name,
                account.region,
                max_wait=self.settings.rate_limit_max_wait,
            ),
            record=DatabaseCallRecorder(self.engine),
            timeouts=self._timeouts(),
        )

    def commerce(self, connection_name: str) -> CommerceClient:
        """The shop behind one Airflow connection."""
        if connection_name not in self._commerce:
            self._commerce[connection_name] = self._make_commerce(connection_name)
        return self._commerce[connection_name]

    def _make_commerce(self, name: str) -> CommerceClient:
        from include.adapters.api_calls import DatabaseCallRecorder
        from include.adapters.commerce.auth import build_auth
        from include.adapters.commerce.client import CommerceClient

        found = commerce_connection(name)
        record, timeouts = DatabaseCallRecorder(self.engine), self._timeouts()
        return CommerceClient(
            host=found.host,
            auth=build_auth(found.extra, name, record=record, timeouts=timeouts),
            edition=found.edition,
            connection=name,
            record=record,
            timeouts=timeouts,
        )

    def _timeouts(self) -> Timeouts:
        from include.adapters.http import Timeouts

        settings = self.settings
        durations = (settings.http_connect_timeout, settings.http_read_timeout, settings.http_total_timeout)
        return Timeouts(*(duration.total_seconds() for duration in durations))


@task(trigger_rule=TriggerRule.ALL_DONE)
def run_complete() -> None:
    """The last task of a DAG: reports how the run went, and is red if any task failed."""
    with Resources() as use:
        use.raise_if_tasks_failed()


def ask_a_person(subject: str, body: str, options: list[str], default: str) -> BaseOperator:
    """A task that asks a person under Airflow's *Required Actions*; skipped when the run's params decide, and when dry.

    Without an answer in time it takes the default. `Resources.answer` gives the result.
    """
    from airflow.providers.standard.operators.hitl import HITLOperator

    return HITLOperator(
        task_id=ASKED,
        doc_md="Asks a person, unless the run was given the decision.",
        subject=subject,
        body=body,
        options=options,
        defaults=default,
        params={"comment": Param(None, type=["null", "string"], description="Why. No names, no addresses.")},
        response_timeout=Settings.from_environment().approval_timeout,
        pre_execute=_skip_if_decided,
    )


def skip_if_dry(context: Context) -> None:
    """What a task has as `pre_execute` that a dry run leaves out."""
    if context["params"].get("dry_run"):
        raise AirflowSkipException("Left out of a dry run.")


def _skip_if_decided(context: Context) -> None:
    params = context["dag_run"].conf or {}
    if params.get("decision") or params.get("dry_run"):
        raise AirflowSkipException("The params of the run decide; nobody is asked.")


def _context() -> Context | None:
    """The task that is running, or None outside Airflow, as in a shell."""
    try:
        return get_current_context()
    except RuntimeError:
        return None


def _task_instance(context: Context) -> TaskInstance:
    from include.outbox.dag_runs import TaskInstance

    instance, operator = context["ti"], context["task"]
    index = -1 if instance.map_index is None else instance.map_index
    # As in the answer to get_task_states.
    name = instance.task_id if index < 0 else f"{instance.task_id}_{index}"
    return TaskInstance(name, instance.task_id, getattr(operator, "op_kwargs", {}).get("account_name"))
