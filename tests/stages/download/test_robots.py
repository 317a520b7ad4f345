from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.stages.download._robots import Rule, normalised, parse


def _allows(text: str, path: str, token: str = "curate") -> bool:
    return parse(text, token).allows(path)


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("", "/a", True),
        ("Disallow: /", "/a", True),  # belongs to no group
        ("User-agent: *\nDisallow:", "/a", True),
        ("User-agent: *\nDisallow: /", "/a", False),
        ("User-agent: *\nDisallow: /", "/robots.txt", True),
        ("user-AGENT : *  # all\n DISALLOW : /a # why", "/a/b", False),
        ("User-agent: *\nDisallow: /a", "/A", True),
        ("User-agent: *\nDisallow: /a", "/b/a", True),
        ("User-agent: *\nDisallow: /a?x=1", "/a?x=12", False),
        ("User-agent: Curate/1.0 beta\nDisallow: /", "/a", False),
        ("User-agent: curate-news\nDisallow: /", "/a", True),
        ("User-agent: cur\nDisallow: /", "/a", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: curate\nDisallow: /b", "/a", True),
        ("User-agent: x\nUser-agent: curate\nDisallow: /", "/a", False),
        ("User-agent: curate\nUser-agent: x\nDisallow: /", "/a", False),
        ("User-agent: curate\nSitemap: /s\nDisallow: /", "/a", False),
        ("User-agent: curate\nDisallow: /a\nUser-agent: x\nDisallow: /b", "/b", True),
        ("User-agent: curate\nCrawl-delay: 1\nUser-agent: x\nDisallow: /b", "/b", True),
        ("User-agent: *\nAllow: /a\nDisallow: /a/b", "/a/b/c", False),
        ("User-agent: *\nDisallow: /a\nAllow: /a", "/a", True),
        ("User-agent: *\nDisallow: /*/secret", "/x/y/secret.jpg", False),
        ("User-agent: *\nDisallow: *.gif", "/x/a.gif?b", False),
        ("User-agent: *\nDisallow: /*.gif$", "/a.gif?b", True),
        ("User-agent: *\nDisallow: /*.gif$", "/a.gif.gif", False),
        ("User-agent: *\nDisallow: /a$", "/a", False),
        ("User-agent: *\nDisallow: /a$", "/ab", True),
        ("User-agent: *\nDisallow: /a*a$", "/a", True),
        ("User-agent: *\nDisallow: /***a", "/bca", False),
        ("User-agent: *\nDisallow: /%E4%b8%80", "/\u4e00", False),
        ("User-agent: *\nDisallow: /\u4e00", "/%e4%B8%80", False),
        ("User-agent: *\nDisallow: /a%2Fb", "/a/b", True),
        ("User-agent: *\nDisallow: /%7Ejoe", "/~joe/", False),
        ("\ufeffUser-agent: *\r\nDisallow: /\r\n", "/a", False),
    ],
)
def test_rules(text: str, path: str, allowed: bool) -> None:
    assert _allows(text, path) is allowed


@pytest.mark.parametrize(
    ("value", "delay"),
    [("2.5", 2.5), ("0", 0), ("-1", 0), ("nan", 0), ("inf", 0), ("soon", 0), ("1e9", 86_400)],
)
def test_crawl_delay(value: str, delay: float) -> None:
    text = f"User-agent: *\nCrawl-delay: {value}\n"
    assert parse(text, "curate").delay_s == delay
    assert parse(text + "User-agent: curate\nAllow: /", "curate").delay_s == 0


@given(st.text("ab*$/", max_size=12), st.text("ab/", max_size=12))
def test_patterns_match_as_an_expression_would(pattern: str, path: str) -> None:
    body = pattern.removesuffix("$")
    parts = [re.escape(normalised(part)) for part in body.split("*")]
    expression = ".*".join(parts) + ("$" if pattern.endswith("$") else "")
    rules = parse(f"User-agent: *\nDisallow: {pattern}\n", "curate").rules
    assert len(rules) == (pattern != "")
    assert [rule.matches(path) for rule in rules] == [
        re.match(expression, path) is not None for _ in rules
    ]


def test_hostile_files_cost_little() -> None:
    text = "User-agent: a\n" * 15_000 + "User-agent: *\n" + "Disallow: /a*a*a*a*a*b$\n" * 12_000
    begun = time.process_time()
    rules = parse(text, "curate")
    assert rules.allows("/" + "a" * 2000)
    assert time.process_time() - begun < 5
    assert len(rules.rules) == 12_000


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    rules = parse(text, "curate")
    assert rules.allows("/robots.txt")
    assert isinstance(rules.allows(text), bool)
    assert normalised(normalised(text)) == normalised(text)
    assert all(isinstance(rule, Rule) for rule in rules.rules)
