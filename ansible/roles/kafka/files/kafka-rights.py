#!/usr/bin/env python3
"""Makes the rights of Kafka's users what the list on standard input says: adds what is missing, takes away what isn't named.

Only users that the list names are looked at. Prints a line for each change; nothing when all is as it should be.
"""
import argparse
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

KINDS = {'topic': 'TOPIC', 'group': 'GROUP', 'transactional-id': 'TRANSACTIONAL_ID'}
RESOURCE = re.compile(r'ResourcePattern\(resourceType=(\w+), name=(.*), patternType=(\w+)\)')
ENTRY = re.compile(r'\(principal=User:([^,]+), host=\*, operation=(\w+), permissionType=ALLOW\)')


def wanted_rights(entries):
    """{(user, kind, name, pattern, OPERATION)}; a name that ends with * is a prefix, and * alone is everything."""
    rights = set()
    for entry in entries:
        for name in entry['names']:
            is_prefix = name.endswith('*') and name != '*'
            for operation in entry['operations']:
                words = re.sub(r'(?<=[a-z])(?=[A-Z])', '_', operation).upper()
                rights.add((entry['user'], entry['kind'], name[:-1] if is_prefix else name, 'PREFIXED' if is_prefix else 'LITERAL', words))
    return rights


def listed_rights(text):
    rights, resource = set(), None
    for line in text.splitlines():
        found = RESOURCE.search(line)
        if found:
            resource = found.groups()
        entry = ENTRY.search(line)
        if entry and resource:
            kind = next((name for name, label in KINDS.items() if label == resource[0]), resource[0])
            rights.add((entry[1], kind, resource[1], resource[2], entry[2]))
    return rights


def changes(verb, rights):
    """One command for each user, kind and pattern, and each set of operations that names share."""
    names = {}
    for user, kind, name, pattern, operation in rights:
        names.setdefault((user, kind, pattern, name), set()).add(operation)
    groups = {}
    for (user, kind, pattern, name), operations in names.items():
        groups.setdefault((user, kind, pattern, tuple(sorted(operations))), []).append(name)
    for (user, kind, pattern, operations), found in sorted(groups.items()):
        argv = [verb, '--allow-principal', 'User:' + user, '--resource-pattern-type', pattern.lower()]
        for operation in operations:
            argv += ['--operation', operation.title().replace('_', '')]
        for name in sorted(found):
            argv += ['--' + kind, name]
        yield argv + (['--force'] if verb == '--remove' else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--classes', required=True)
    parser.add_argument('--server', required=True)
    parser.add_argument('--login', required=True)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument('--change', action='store_true')
    mode.add_argument('--dry-run', action='store_true')
    given = parser.parse_args()

    def command(argv):
        java = ['java', '-XX:TieredStopAtLevel=1', '-Dorg.slf4j.simpleLogger.defaultLogLevel=error', '-cp', given.classes, 'org.apache.kafka.tools.AclCommand']
        done = subprocess.run(java + ['--bootstrap-server', given.server, '--command-config', given.login] + argv, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode != 0:
            sys.exit('AclCommand %s: %s%s' % (' '.join(argv), done.stdout, done.stderr))
        return done.stdout

    wanted = wanted_rights(json.load(sys.stdin))
    users = {right[0] for right in wanted}
    there = {right for right in listed_rights(command(['--list'])) if right[0] in users}
    todo = list(changes('--remove', there - wanted)) + list(changes('--add', wanted - there))
    if given.change:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(command, todo))
    for argv in todo:
        print(' '.join(argv))


main()
