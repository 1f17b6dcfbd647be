"""What people see on the Recent Orders page, on a real database, as the role orders_ui."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine, text

from include.domain.statuses import SHOWN_STATUSES
from tests.support.recent_orders_answers import KEY, MakeClient, ids_of, link_of, rows_of, text_of
from tests.support.recent_orders_rows import NOON, order_row, write_contact, write_orders


def test_row_shows_all_columns_when_everything_is_known(engine: Engine, make_client: MakeClient) -> None:
    write_orders(
        engine,
        order_row(
            "114-0000000-0000001",
            purchased_at=NOON + timedelta(hours=2, minutes=5),
            status="Completed",
            grand_total_amount=Decimal("1234.5000"),
            order_notes="Shipped; Commerce order 000000042.",
            commerce_order_number="000000042",
        ),
    )
    write_contact(engine, KEY, "114-0000000-0000001", {"buyer": {"buyerName": "Zoë Ångström"}})

    answer = make_client().get("/")

    assert rows_of(answer) == [
        [
            "Nov 20, 2026, 14:05",
            "114-0000000-0000001 (opens in a new tab) Acme US Commerce 000000042",
            "Completed",
            "Zoë Ångström",
            "$1,234.50",
            "Shipped; Commerce order 000000042.",
        ]
    ]
    assert (
        'href="https://shop.example.com/admin/sales/order/view/order_id/0001" target="_blank" rel="noopener'
        in answer.text
    )
    assert re.findall(r'<th role="columnheader" scope="col".*?>(.*?)</th>', answer.text) == [
        'Purchase Date <span class="unit">(UTC)</span>',
        "Order Number",
        "Status",
        "Buyer's Name",
        "Grand Total",
        "Order Notes",
    ]


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("3980", "JPY", "¥3,980"),
        ("0", "USD", "$0.00"),
        ("19.9900", "GBP", "£19.99"),
        ("10.5", "SEK", "SEK 10.50"),
        ("1.2345", "USD", "$1.2345"),
        ("-5", "EUR", "-€5.00"),
        (None, None, "—"),
        (None, "USD", "—"),
        ("7", None, "7.00"),
    ],
)
def test_grand_total_has_sign_and_decimals_of_its_currency_when_shown(
    engine: Engine, make_client: MakeClient, amount: str | None, currency: str | None, shown: str
) -> None:
    value = None if amount is None else Decimal(amount)
    write_orders(engine, order_row("114-1", grand_total_amount=value, currency_code=currency))
    assert rows_of(make_client().get("/"))[0][4] == shown


@pytest.mark.parametrize(
    ("status", "tone"),
    [
        ("Shipped", "blue"),
        ("Completed", "blue"),
        ("Unshipped", "yellow"),
        ("Partially Shipped", "yellow"),
        ("Error", "orange"),
        ("Pending", "gray"),
        ("Pending Availability", "gray"),
        ("Canceled", "plain"),
        ("SOMETHING_NEW", "plain"),
    ],
)
def test_status_has_its_dot_when_shown(engine: Engine, make_client: MakeClient, status: str, tone: str) -> None:
    write_orders(engine, order_row("114-1", status=status))
    assert f'<span class="dot {tone}" aria-hidden="true"></span>{status}' in make_client().get("/").text


def test_buyer_is_the_recipient_when_amazon_withholds_the_buyer(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, *(order_row(f"114-{number}") for number in range(5)))
    recipient = {"deliveryAddress": {"name": "  山田 太郎 "}}
    write_contact(engine, KEY, "114-4", {"recipient": recipient, "buyer": {"buyerName": "  "}})
    write_contact(engine, KEY, "114-3", {"recipient": recipient, "buyer": {"buyerName": "Buyer"}})
    write_contact(engine, KEY, "114-2", {"recipient": {"deliveryAddress": None}, "buyer": "odd"})
    write_contact(engine, KEY, "114-1", {})

    answer = make_client().get("/")

    assert [row[3] for row in rows_of(answer)] == ["山田 太郎", "Buyer", "—", "—", "—"]
    assert 'role="status"' not in answer.text


@pytest.mark.parametrize(("keys", "names", "notice"), [
    ((), ["—", "—"], "ORDERS_PII_KEYS is missing or invalid"),
    (("no key",), ["—", "—"], "ORDERS_PII_KEYS is missing or invalid"),
    ((KEY,), ["—", "Known Buyer"], "The buyers' names of 1 order on this page cannot be decrypted"),
])  # fmt: skip
def test_name_is_a_dash_with_a_notice_when_its_key_is_missing(
    engine: Engine, make_client: MakeClient, keys: tuple[str, ...], names: list[str], notice: str
) -> None:
    write_orders(engine, order_row("114-1"), order_row("114-2"))
    write_contact(engine, KEY, "114-1", {"buyer": {"buyerName": "Known Buyer"}})
    write_contact(engine, Fernet.generate_key().decode(), "114-2", {"buyer": {"buyerName": "Lost Buyer"}})

    answer = make_client(keys=keys).get("/")

    assert [row[3] for row in rows_of(answer)] == names
    assert notice in text_of(answer.text)


def test_page_is_shown_when_a_name_holds_half_a_character(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, order_row("114-1"))
    write_contact(engine, KEY, "114-1", {"buyer": {"buyerName": "Half \ud83d"}})
    assert rows_of(make_client().get("/"))[0][3] == "Half ?"


def test_pages_hold_each_row_once_when_times_are_equal(engine: Engine, make_client: MakeClient) -> None:
    # Ten orders in three moments, so that every page ends among equals.
    rows = [order_row(f"114-{number:02}", purchased_at=NOON + timedelta(hours=number % 3)) for number in range(10)]
    write_orders(engine, *rows)
    expected = [
        row["amazon_order_id"]
        for row in sorted(rows, key=lambda row: (row["purchased_at"], row["amazon_order_id"]), reverse=True)
    ]
    client = make_client(page_size=3)

    answer = client.get("/")
    assert link_of(answer, "Newer") is None
    down = [ids_of(answer)]
    while (older := link_of(answer, "Older")) is not None:
        answer = client.get("/" + older)
        down.append(ids_of(answer))
    up: list[list[str]] = []
    while (newer := link_of(answer, "Newer")) is not None:
        answer = client.get("/" + newer)
        up.insert(0, ids_of(answer))

    assert link_of(answer, "Newest") is None
    assert [len(page) for page in down] == [3, 3, 3, 1]
    assert [amazon_order_id for page in down for amazon_order_id in page] == expected
    assert up == down[:3]


def test_paging_stays_in_place_when_newer_orders_arrive(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, *(order_row(f"114-{number}") for number in range(4)))
    client = make_client(page_size=2)
    first = client.get("/")
    write_orders(engine, order_row("114-9", purchased_at=NOON + timedelta(days=1)))

    second = client.get("/" + str(link_of(first, "Older")))

    assert ids_of(first) + ids_of(second) == ["114-3", "114-2", "114-1", "114-0"]
    assert link_of(second, "Older") is None
    assert ids_of(client.get("/" + str(link_of(second, "Newest")).lstrip("."))) == ["114-9", "114-3"]


def test_first_page_is_whole_when_reached_from_below(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, *(order_row(f"114-{number}") for number in range(4)))
    client = make_client(page_size=2)
    second = client.get("/" + str(link_of(client.get("/"), "Older")))
    write_orders(engine, order_row("114-8"))
    with engine.begin() as connection:
        connection.execute(text("delete from reporting.recent_orders where amazon_order_id in ('114-2', '114-3')"))

    top = client.get("/" + str(link_of(second, "Newer")))

    assert ids_of(top) == ["114-8", "114-1"]
    assert (link_of(top, "Newest"), link_of(top, "Newer")) == (None, None)
    assert ids_of(client.get("/" + str(link_of(top, "Older")))) == ["114-0"]


def test_filter_stays_when_paging(engine: Engine, make_client: MakeClient) -> None:
    uk = {"store_name": "Acme & Söhne", "status": "Error"}
    write_orders(
        engine,
        *(order_row(f"114-{number}", **uk) for number in range(3)),
        order_row("114-5", store_name="Acme & Söhne"),
        order_row("114-6", status="Error"),
    )
    client = make_client(page_size=2)

    answer = client.get("/", params=uk | {"store": "Acme & Söhne"})
    assert ids_of(answer) == ["114-2", "114-1"]
    assert '<option selected value="Acme &amp; Söhne">' in answer.text
    assert '<option selected value="Error">' in answer.text
    assert ids_of(client.get("/" + str(link_of(answer, "Older")))) == ["114-0"]
    assert ids_of(client.get("/", params={"status": "Error"})) == ["114-6", "114-2"]


def test_status_can_be_chosen_when_it_is_amazons_own_word(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, order_row("114-1"), order_row("114-2", status="ON_HOLD & new"), order_row("114-3", status="A"))

    answer = make_client().get("/", params={"status": "ON_HOLD & new"})

    assert ids_of(answer) == ["114-2"]
    offered = answer.text.partition('<select name="status">')[2].partition("</select>")[0]
    assert re.findall(r"<option.*?>(.*?)</option>", offered) == [
        "All statuses", *SHOWN_STATUSES, "A", "ON_HOLD &amp; new",
    ]  # fmt: skip
    assert '<option selected value="ON_HOLD &amp; new">' in offered


def test_form_shows_the_filter_when_no_order_has_its_values(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, order_row("114-1"))
    answer = make_client().get("/", params={"store": "Gone", "status": "GONE_TOO"})
    assert '<option selected value="Gone">' in answer.text
    assert '<option selected value="GONE_TOO">' in answer.text


def test_count_of_blocked_orders_ends_when_there_are_very_many(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, *(order_row(f"114-{number:04}", status="Error", is_blocked=True) for number in range(1001)))
    write_orders(engine, order_row("114-9", store_name="Acme UK", status="Error", is_blocked=True))
    assert "Acme UK (1), Acme US (1,000+)." in text_of(make_client().get("/").text)


def test_message_names_the_stores_when_orders_cannot_be_imported(engine: Engine, make_client: MakeClient) -> None:
    blocked = {"status": "Error", "is_blocked": True}
    write_orders(
        engine,
        order_row("114-1", **blocked),
        order_row("114-2", **blocked),
        order_row("114-3", store_name="Acme UK", **blocked),
        order_row("114-4", store_name="Acme JP"),
    )
    client = make_client()

    answer = client.get("/", params={"store": "Acme JP"})

    alert = answer.text.partition('role="alert"')[2].partition("</section>")[0]
    assert "Some orders cannot be imported: Acme UK (1), Acme US (2). Order Notes" in text_of(alert)
    links = [html.unescape(link) for link in re.findall(r'href="([^"]*)"', alert)]
    assert [ids_of(client.get("/" + link)) for link in links] == [["114-3"], ["114-2", "114-1"]]

    with engine.begin() as connection:
        connection.execute(text("update reporting.recent_orders set is_blocked = false, status = 'Unshipped'"))
    assert 'role="alert"' not in client.get("/").text


def test_last_change_is_the_newest_when_rows_were_loaded_at_different_times(
    engine: Engine, make_client: MakeClient
) -> None:
    write_orders(engine, order_row("114-1"), order_row("114-2", loaded_at=NOON + timedelta(minutes=7)))
    assert "Last change Nov 20, 2026, 12:07 UTC" in text_of(make_client().get("/").text)


def test_empty_table_explains_what_to_do_when_nothing_was_published(make_client: MakeClient) -> None:
    answer = make_client().get("/")
    assert answer.status_code == 200
    assert "No orders yet Orders appear here after the DAGs amazon_orders_to_commerce" in text_of(answer.text)
    assert "<table" not in answer.text


def test_empty_page_gives_the_reason_when_filter_or_cursor_leave_nothing(
    engine: Engine, make_client: MakeClient
) -> None:
    write_orders(engine, order_row("114-1"))
    client = make_client()
    assert "No orders match the filter" in client.get("/", params={"status": "Canceled"}).text
    nothing_older = client.get("/", params={"before": "2020-01-01T00:00:00+00:00~114-1"})
    assert "No older orders" in nothing_older.text
    assert link_of(nothing_older, "Newest") == "."


def test_unreadable_orders_are_counted_when_some_are_quarantined(engine: Engine, make_client: MakeClient) -> None:
    assert "cannot be read" not in text_of(make_client().get("/").text)
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into ops.quarantined_orders (payload_sha256, account_name, findings, remedy, seen_count,"
                " first_seen_at, last_seen_at, dag_run_id)"
                " select key, 'acme-na', '{}', 'Look.', 1, now(), now(), 'test' from unnest(array['a', 'b']) as key"
            )
        )

    assert "2 orders from Amazon cannot be read and were quarantined; nothing is lost." in text_of(
        make_client().get("/").text
    )
