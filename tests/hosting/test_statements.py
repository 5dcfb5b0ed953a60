"""Bank statements: how they are written, and which bills they name."""

from __future__ import annotations

from datetime import date

import pytest

from hosting.banking import clerk, matching, statements, tables
from hosting.banking.statements import BadLine, Form, Line
from hosting.piecework import UnreadableList
from tests.stopwatch import seconds_of_work

HEADER = "date,amount,currency,payer,reference,bank_id\n"


def read(text, currency="EUR", **form):
    return statements.read(text, form=Form(**form), currency=currency)


def shown(statement):
    """What was read of each line, or why not."""
    return [
        (line.day, line.amount_minor, line.currency)
        if isinstance(line, Line)
        else (line.column, line.fault)
        for line in statement.lines
    ]


def amounts(*texts, currency="EUR", **form):
    lines = "".join(f'2026-10-31;"{text}"\n' for text in texts)
    return [line[1] for line in shown(read("date;amount\n" + lines, currency, **form))]


# How it is written ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "delimiter", "decimal", "date_format"),
    [
        (HEADER + '2026-10-31,"1,234.56",EUR,A,R-1,7\n', ",", ".", "%Y-%m-%d"),
        ("Buchungstag;Betrag;Währung;Name\n31.10.2026;1.234,56;EUR;A\n", ";", ",", "%d.%m.%Y"),
        ("Datum\tBetrag\tWährung\n31.10.26\t1234,56\tEUR\n", "\t", ",", "%d.%m.%y"),
        ("Value Date|AMOUNT|Currency\n10/31/2026|1234.56|EUR\n", "|", ".", "%m/%d/%Y"),
        ('"Buchungstag";"Betrag";"Währung"\n"31.10.2026";"1.234,56";"EUR"\n', ";", ",", "%d.%m.%Y"),
        ('"date"|"amount"\n"2026-10-31"|"1234.56"\n', "|", ".", "%Y-%m-%d"),
        ("id;a;date;x,y;amount\n1;2;31/10/2026;a,b;1 234,56\n", ";", ",", "%d/%m/%Y"),
        ("date;amount\n31-10-2026;1234,56\n", ";", ",", "%d-%m-%Y"),
        ("Datum;Bedrag (EUR)\n20261031;1234,56\n", ";", ",", "%Y%m%d"),
        ("Date,Money In\n31 Oct 2026,1234.56\n", ",", ".", "%d %b %Y"),
        ("Completed Date,Amount\n2026-10-31 12:34:56,1234.56\n", ",", ".", "%Y-%m-%d"),
        ("date,amount\n2026-10-31T23:59:59.5+02:00,1234.56\n", ",", ".", "%Y-%m-%d"),
    ],
)
def test_form_of_a_statement_is_found_out(text, delimiter, decimal, date_format):
    statement = read(text)

    form = statement.form
    assert (form.delimiter, form.decimal, form.date_format) == (delimiter, decimal, date_format)
    assert shown(statement) == [(date(2026, 10, 31), 123_456, "EUR")]


@pytest.mark.parametrize(
    ("name", "came", "left"),
    [
        ("CdtDbtInd", "CRDT", "DBIT"),
        ("Soll/Haben", "H", "S"),
        ("Credit/Debit", "Credit", "debit"),
        (" ", "H", "S"),
        ("side", "RD", "RC"),
    ],
)
def test_column_beside_the_amount_says_whether_money_came_or_left(name, came, left):
    text = f"Buchungstag;Umsatz;{name}\n"
    text += f"31.10.2026;7,49;{came}\n31.10.2026;120,00;{left}\n31.10.2026;-5,00;{left}\n"

    assert [line[1] for line in shown(read(text))] == [749, -12_000, -500]


TOLD_BEFORE = [
    '"Girokonto";"DE02120300000000202051"\n""\n"Kontostand vom 31.10.2026:";"1.234,56 €"\n""\n',
    "Umsatzanzeige;Datei vom 31.10.2026 12:00\n;Letztes Update: jetzt\n\nSaldo;5,00;EUR\n\n",
    "Zeitraum;01.10.2026 - 31.10.2026\n\nSortierung;Datum absteigend\n\n",
    'Konto "Haupt"; "5\n\n',
    "Betrag;Verwendungszweck\n\n",
]


@pytest.mark.parametrize("before", TOLD_BEFORE)
def test_what_a_bank_tells_above_the_table_is_passed_over(before):
    text = before + (
        '"Buchungsdatum";"Status";"Zahlungspflichtige*r";"Verwendungszweck";"Betrag (€)"\n'
        '"31.10.26";"Gebucht";"Anna Muster";"R-000007";"1.234,56"\n'
        '"30.10.26";"Gebucht";"";"Miete";"-800,00 €"\n'
        '"Summe"\n'
    )
    above = before.count("\n")

    first, second, total = read(text, "CHF").lines

    assert (first.number, first.payer, first.reference) == (above + 2, "Anna Muster", "R-000007")
    assert (first.day, first.amount_text) == (date(2026, 10, 31), "1234.56 EUR")
    assert second.amount_text == "-800.00 EUR"
    assert (total.number, total.fault) == (above + 4, "This line has 1 cells, there are 5 columns.")


def test_table_that_begins_too_far_down_is_not_found():
    with pytest.raises(UnreadableList, match="“date” is missing"):
        read("x\n" * 41 + "date;amount\n2026-10-31;1\n")


@pytest.mark.parametrize(
    "header", ["Datum;Gutschrift in CHF;Lastschrift in CHF", "Date;Paid in;Paid out"]
)
def test_what_came_and_what_left_may_have_columns_of_their_own(header):
    text = f"{header}\n31.10.2026;7,49;\n31.10.2026;;120,00\n31.10.2026;0,00;-5,00\n"
    text += "31.10.2026;1,00;1,00\n31.10.2026;;\n31.10.2026;0,00;\n31.10.2026;-1,00;\n"

    statement = read(text, "CHF")

    unclear = "It is not clear whether this came in or left."
    assert [line[1] for line in shown(statement)] == [
        749,
        -12_000,
        -500,
        unclear,
        "This is no amount.",
        "Nothing was paid.",
        unclear,
    ]
    assert {line.currency for line in statement.lines if isinstance(line, Line)} == {"CHF"}


def test_columns_of_what_came_and_left_count_before_a_foreign_amount():
    text = "Buchungstag;Betrag;Soll;Haben;Währung\n31.10.2026;9,00 $;;7,49;EUR\n"
    text += "31.10.2026;;-5,00;;EUR\n31.10.2026;3,00;;;EUR\n"

    assert [line[1] for line in shown(read(text))] == [749, -500, 300]


@pytest.mark.parametrize(
    ("header", "booked", "not_booked"),
    [
        ("Info", "Umsatz gebucht", "Umsatz vorgemerkt"),
        ("Status", "Gebucht", "Vorgemerkt"),
        ("Status", "BOOK", "PDNG"),
        ("State", "COMPLETED", "PENDING"),
        ("State", "COMPLETED", "whatever else"),
        ("state", "", "Reverted"),
    ],
)
def test_what_a_bank_has_not_booked_is_not_used(header, booked, not_booked):
    text = f"Datum;Betrag;{header}\n31.10.2026;7,49;{booked}\n31.10.2026;5,00;{not_booked}\n"

    assert shown(read(text)) == [
        (date(2026, 10, 31), 749, "EUR"),
        ("", "The bank has not booked this."),
    ]


def test_column_that_tells_the_status_is_found_beside_another_that_is_called_so():
    text = "Datum;Betrag;Info;Buchungsstatus\n31.10.2026;7,49;Miete;gebucht\n"
    text += "31.10.2026;5,00;;vorgemerkt\n"

    assert [line[1] for line in shown(read(text))] == [749, "The bank has not booked this."]


def test_column_that_is_called_like_a_status_may_tell_of_something_else():
    assert shown(read("Datum;Betrag;Info\n31.10.2026;7,49;thanks\n")) == [
        (date(2026, 10, 31), 749, "EUR")
    ]


@pytest.mark.parametrize(
    "said",
    ["Anfangssaldo", "Endsaldo", "Beginning balance as of 11/01/2026", "Neuer  Kontostand:"],
)
def test_balance_that_stands_like_a_payment_is_none(said):
    text = "Buchungstag;Vorgang/Verwendungszweck;Währung;Umsatz; \n"
    text += f"31.10.2026;Endsaldo 7;EUR;7,49;H\n31.10.2026;{said};EUR;1.000,00;H\n"

    assert shown(read(text))[1:] == [("", "This is a balance and no payment.")]
    assert shown(read(text))[0] == (date(2026, 10, 31), 749, "EUR")


@pytest.mark.parametrize(
    ("header", "line", "currency"),
    [
        ("Buchung;Saldo;Währung;Betrag;Währung", "31.10.2026;1,00;EUR;7,49;CHF", "CHF"),
        ("Buchung;Betrag;Währung;Gebühr;Währung", "31.10.2026;7,49;CHF;0,10;EUR", "CHF"),
        ("Buchung;Whrg.;Saldo;Gutschrift", "31.10.2026;CHF;1,00;7,49", "CHF"),
    ],
)
def test_currency_is_that_of_the_amount_and_not_of_a_balance_or_fee(header, line, currency):
    assert shown(read(f"{header}\n{line}\n")) == [(date(2026, 10, 31), 749, currency)]


@pytest.mark.parametrize(
    ("header", "moved"),
    [
        ("Datum;Betrag (EUR);Währung", "7,49;USD"),
        ("Datum;Gutschrift in EUR;Lastschrift in EUR;Währung", "7,49;;USD"),
        ("Datum;Betrag (EUR);Währung", "7,49 $;"),
    ],
)
def test_currency_that_contradicts_the_one_in_the_columns_name_is_refused(header, moved):
    fault = "This line is in another currency than its column, which is in EUR."

    assert shown(read(f"{header}\n31.10.2026;{moved}\n")) == [("currency", fault)]
    assert shown(read(f"{header}\n31.10.2026;{moved[:4]}{';' * moved.count(';')}\n")) == [
        (date(2026, 10, 31), 749, "EUR")
    ]


@pytest.mark.parametrize(
    "header", ["Date,Amount (USD),Amount (EUR)", "Date,Credit in CHF,Credit (EUR)"]
)
def test_two_columns_that_could_be_the_amount_are_refused(header):
    with pytest.raises(UnreadableList, match="Two columns are called"):
        read(f"{header}\n2026-10-31,12.00,10.00\n")


@pytest.mark.parametrize("name", ["Transaction Type", "type", "", "DETAILS"])
def test_type_of_a_transaction_says_whether_money_left_if_it_says_nothing_else(name):
    text = f"Date,,Amount,{name}\n2026-10-31,1,7.49,credit\n2026-10-31,2,5.00,debit\n"

    assert [line[1] for line in shown(read(text))] == [749, -500]


def test_type_that_says_something_else_as_well_makes_no_income_of_what_left():
    text = "Date,Amount,Type\n2026-10-31,7.49,credit\n2026-10-31,5.00,debit\n2026-10-31,1.00,fee\n"

    unclear = "It is not clear whether this came in or left."
    assert [line[1] for line in shown(read(text))] == [749, -500, unclear]


@pytest.mark.parametrize(
    "text",
    [
        "Date,Amount,Details\n2026-10-31,7.49,DSLIP\n2026-10-31,-5.00,DEBIT\n",
        "Date,Amount,Code\n2026-10-31,7.49,D\n2026-10-31,-5.00,T\n",
        "Date,Amount,Type\n2026-10-31,7.49,D\n2026-10-31,-5.00,T\n",
    ],
)
def test_signs_of_amounts_count_where_a_type_says_something_else_as_well(text):
    assert [line[1] for line in shown(read(text))] == [749, -500]


@pytest.mark.parametrize(
    "text", ["7,49 €", "€7,49", "€ 7,49", "7,49 EUR", "EUR 7,49", "7,49eur", "+7,49 €"]
)
def test_amount_may_name_its_currency(text):
    assert amounts(text) == [749]
    assert amounts(text, currency="CHF") == [749]
    assert shown(read(f"date;amount;currency\n2026-10-31;{text};CHF\n"))[0] == (
        "amount",
        "This is in another currency than its line, which is in CHF.",
    )


@pytest.mark.parametrize("text", ["-7,49 €", "-€7,49", "- € 7,49", "7,49- €", "€ -7,49", "−7,49€"])
def test_sign_may_stand_on_either_side_of_the_currency(text):
    assert amounts(text) == [-749]


@pytest.mark.parametrize("text", ["-" + " " * 120_000 + "!", "1" * 120_000 + "!", "€" * 120_000])
def test_long_cells_take_no_time(text):
    with seconds_of_work() as seconds:
        assert amounts(text, decimal=",") == ["This is no amount."]

    assert seconds() < 1


def test_far_too_many_lines_are_refused_before_anybody_reads_them():
    text = "date;amount\n" + "2026-10-31;1\n" * 300_000

    with seconds_of_work() as seconds, pytest.raises(UnreadableList, match="At most 50000 lines"):
        read(text)

    assert seconds() < 5


def test_amount_whose_direction_is_not_clear_is_not_used():
    text = "date;amount;side\n2026-10-31;-7,49;CRDT\n2026-10-31;7,49;both\n2026-10-31;7,49;\n"
    unclear = ("side", "It is not clear whether this came in or left.")

    assert shown(read(text)) == [unclear, unclear, (date(2026, 10, 31), 749, "EUR")]


def test_first_line_that_is_quoted_wrongly_is_refused_with_the_reason():
    with pytest.raises(UnreadableList, match="cannot be read from here on"):
        read('"date" ;"amount"\n2026-10-31;1,00\n')


def test_columns_may_stand_anywhere_and_others_are_passed_over():
    text = "x;Verwendungszweck;AMOUNT;Booking  Date;id\n;  R-7   thanks ;1,00;01.11.2026; 12 \n"

    [line] = read(text).lines

    assert line == Line(
        number=2,
        day=date(2026, 11, 1),
        amount_minor=100,
        currency="EUR",
        payer="",
        reference="R-7 thanks",
        bank_id="12",
    )


def test_column_without_a_name_that_says_something_else_is_passed_over():
    lines = read(";date;amount\n1;2026-10-31;1,50\n2;2026-10-31;-2,50\n").lines

    assert [line.amount_minor for line in lines] == [150, -250]


@pytest.mark.parametrize(
    ("texts", "minor"),
    [
        (("12,50", "-12,50", "12,50-", "+12,50", "−12,50"), [1250, -1250, -1250, 1250, -1250]),
        (("1.234.567,89", "1'234,00", "1 234,5", "7"), [123_456_789, 123_400, 123_450, 700]),
        (("1,234", "1,234.5"), [123_400, 123_450]),
        (("0,01", "0,10", "00012,00"), [1, 10, 1200]),
        (("9,999,999,999.99",), [999_999_999_999]),
    ],
)
def test_amounts_are_read_as_banks_write_them(texts, minor):
    assert amounts(*texts) == minor


@pytest.mark.parametrize(
    ("currency", "text", "minor"),
    [
        ("JPY", "1,234", 1234),
        ("JPY", "1.234", 1234),
        ("BHD", "1.2345", None),
        ("EUR", "1,234", 123_400),
    ],
)
def test_currency_says_how_many_decimals_there_are(currency, text, minor):
    found = amounts(text, currency=currency)

    assert found == [minor] if minor else isinstance(found[0], str)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("date;amount\n2026-10-31;1,234\n", "amount"),
        ("date;amount\n2026-10-31;5.125\n2026-10-31;6\n", "amount"),
        ("date;amount\n01/02/2026;5\n", "date"),
        ("date;amount\n01/02/2026;5\n03/04/2026;5\n", "date"),
    ],
)
def test_what_could_mean_two_things_is_asked_for(text, column):
    with pytest.raises(UnreadableList, match="Choose it") as refusal:
        read(text, "BHD")

    assert refusal.value.problem.column == column


def test_choice_of_a_person_holds():
    text = "date;amount\n01/02/2026;1,234\n"

    assert shown(read(text, "BHD", decimal=",", date_format="%d/%m/%Y")) == [
        (date(2026, 2, 1), 1234, "BHD")
    ]
    assert shown(read(text, "BHD", decimal=".", date_format="%m/%d/%Y")) == [
        (date(2026, 1, 2), 1_234_000, "BHD")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "--5",
        "5-5",
        "1,2,3",
        "12,34,56",
        "1e5",
        "0x10",
        "NaN",
        "٣",
        "EUR",
        "1.00 EUR CHF",
        "1.00 EURO",
        "=1+1",
        "-",
    ],
)
def test_what_is_no_amount_is_named(text):
    assert amounts("1.00", text, decimal=".")[1] == "This is no amount."


def test_absurd_amounts_are_named():
    assert amounts("0,00", "9" * 20, "1,005", decimal=",") == [
        "Nothing was paid.",
        "Nobody pays so much.",
        "EUR has no amounts as fine as this.",
    ]


@pytest.mark.parametrize(
    "text", ["", "31.02.2026", "2026-10-31", "1.1.2026", "٣1.10.2026", "31.10.2026 noon", "0"]
)
def test_what_is_no_day_is_named(text):
    statement = read(f"date;amount\n01.10.2026;5\n02.10.2026;5\n{text};5\n")

    assert shown(statement)[2] == ("date", "This is no day.")


def test_bad_lines_are_named_with_number_and_column():
    text = HEADER + (
        "2026-10-31,5,EUR,A,,1\n"
        "2026-10-31,5\n"
        "\n"
        '2026-10-31,5,EUR,"A\nB",,2\n'
        "2026-10-31,5,XXX,A,,3\n"
        "2026-10-31,x,EUR,A,,4\n"
        "2026-10-31,5,EUR,A\u202e,,5\n"
    )

    bad = [line for line in read(text).lines if isinstance(line, BadLine)]

    assert [(line.number, line.column, line.fault) for line in bad] == [
        (3, "", "This line has 2 cells, there are 6 columns."),
        (7, "currency", "XXX is not a currency of the house."),
        (8, "amount", "This is no amount."),
        (9, "payer", "This has characters that cannot be shown."),
    ]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "The list is empty."),
        (" \n", 1, "The list is empty."),
        ("date;amount\n", 1, "There is no line below the columns' names."),
        ("date;x\n1;2\n", 1, "“amount” is missing."),
        ("amount\n5\n", 1, "“date” is missing."),
        ('date;amount\n2026-10-31;"5\n', 2, "cannot be read from here on"),
        ("date;amount\n2026-10-31;" + "5" * 200_000, 2, "cannot be read from here on"),
    ],
)
def test_statement_that_cannot_be_read_is_refused_whole(text, line, said):
    with pytest.raises(UnreadableList, match=said) as refusal:
        read(text)

    assert refusal.value.problem.line == line


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("Währung".encode(), "utf-8-sig"),
        ("\ufeffWährung".encode(), "utf-8-sig"),
        ("Währung".encode("utf-16"), "utf-16"),
        ("Währung".encode("cp1252"), "cp1252"),
    ],
)
def test_encoding_is_found_out(content, encoding):
    assert tables.decode(content) == ("Währung", encoding)


@pytest.mark.parametrize(
    ("content", "encoding", "line", "said"),
    [
        (b"a\nb\0c", "", 2, "There is a NUL here"),
        (b"a\n\x81\xff", "", 2, "This is not Windows-1252"),
        ("a\nä".encode("cp1252"), "utf-8-sig", 2, "This is not UTF-8"),
        (b"\xff\xfea", "", 1, "This is not UTF-16"),
    ],
)
def test_what_is_no_text_is_refused(content, encoding, line, said):
    with pytest.raises(UnreadableList, match=said) as refusal:
        tables.decode(content, encoding=encoding)

    assert refusal.value.problem.line == line


# What a line is known by ----------------------------------------------------------------


def ids(text, account="AT1"):
    return [entry.external_id for entry in clerk.entries(read(text).lines, account=account)]


def test_line_is_known_by_the_banks_id_or_by_what_it_says():
    with_id = ids(HEADER + "2026-10-31,5,EUR,A,x,17\n2026-10-31,5,EUR,A,x," + "9" * 200 + "\n")
    assert with_id[0] == "AT1:17"
    assert max(map(len, with_id)) <= 110

    twice = "2026-10-31,5,EUR,A,x,\n"
    without = ids(HEADER + twice + twice + "2026-10-31,5,EUR,A,y,\n2026-10-31,x,EUR,A,y,\n")
    assert len(set(without)) == 4
    assert without[3] == ""
    assert ids(HEADER + twice)[0] == without[0]
    assert ids(HEADER + twice, account="AT2")[0] != without[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Rechnung R-000007", ["R-000007"]),
        ("r 7 and R000012.", ["R-000007", "R-000012"]),
        ("R-7,R-7", ["R-000007"]),
        ("R/000123456", ["R-123456"]),
        ("R4-000002", []),
        ("R-0000001234567890123", []),
        ("XR-7", []),
        ("ÄR-7", []),
        ("R-٧", []),
        ("", []),
    ],
)
def test_bill_numbers_are_found_however_they_are_spaced(text, found):
    assert matching.numbers_in(text, ["R-"]) == found


def test_bill_numbers_of_a_reseller_are_its_own():
    assert matching.numbers_in("R4-000002 R-7", ["R4-"]) == ["R4-000002"]
