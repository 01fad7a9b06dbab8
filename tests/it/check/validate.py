#!/usr/bin/python3
"""Says what is wrong with the documents in a folder: JSON by a schema, JUnit XML by its own counts.

Usage: validate.py SCHEMA FOLDER
"""

import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

import jsonschema


def wrong_with_json(validator, text):
    document = json.loads(text)
    return [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(document)]


def wrong_with_junit(text):
    suites = ElementTree.fromstring(text)
    suite = suites.find("testsuite")
    cases = suite.findall("testcase")
    wrong = []
    if int(suite.get("tests")) != len(cases):
        wrong.append("tests is not the number of test cases")
    if int(suite.get("failures")) != len(suite.findall("testcase/failure")):
        wrong.append("failures is not the number of failures")
    if len({case.get("name") for case in cases}) != len(cases):
        wrong.append("two test cases have one name")
    for case in cases:
        for failure in case.findall("failure"):
            if not (failure.get("type") and failure.get("message") and failure.text):
                wrong.append(f"{case.get('name')}: a failure without type, message or text")
    return wrong


def main():
    schema = json.loads(pathlib.Path(sys.argv[1]).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    seen, bad = 0, 0
    for path in sorted(pathlib.Path(sys.argv[2]).iterdir()):
        text = path.read_bytes()
        try:
            wrong = wrong_with_json(validator, text) if path.suffix == ".json" else wrong_with_junit(text)
        except (ValueError, ElementTree.ParseError) as error:
            wrong = [str(error)]
        seen += 1
        bad += bool(wrong)
        for what in wrong:
            print(f"{path.name}: {what}")
    print(f"{seen} documents, {bad} bad")
    sys.exit(bad > 0)


main()
