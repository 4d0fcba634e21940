"""What a user does with kafka-python."""

import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import AlterConfigOp, ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (CommitFailedError, InvalidProducerEpochError, MessageSizeTooLargeError, ProducerFencedError, RebalanceInProgressError,
                          TopicAlreadyExistsError, UnknownTopicOrPartitionError)
from kafka.structs import OffsetAndMetadata

import report
from report import LIMIT, START, Sum, check, need, topic

connection = {"bootstrap_servers": report.bootstrap}
if report.sasl:
    connection.update(security_protocol="SASL_SSL", sasl_mechanism=report.mechanism, sasl_plain_username=report.user, sasl_plain_password=report.password,
                      ssl_cafile=report.ca)
admin = KafkaAdminClient(**connection)


def fails(errors, body):
    try:
        body()
    except errors:
        return
    raise AssertionError("want %s, got no error" % (errors,))


def new_topic(name, partitions, configs=None):
    admin.create_topics({name: {"num_partitions": partitions, "configs": configs or {}}}, wait_for_metadata=True)


def consumer(*topics, **more):
    return KafkaConsumer(*topics, **dict(connection, auto_offset_reset="earliest", enable_auto_commit=False, **more))


def producer(**more):
    return KafkaProducer(**dict(connection, **dict({"acks": "all", "linger_ms": 5}, **more)))


def read_all(name, **more):
    c, result = consumer(**more), Sum()
    parts = [TopicPartition(name, p) for p in c.partitions_for_topic(name)]
    # Not the consumer's end offsets: with read_committed a transaction whose markers are still being written is behind them.
    ends = {p: o.offset for p, o in admin.list_partition_offsets({p: OffsetSpec.LATEST for p in parts}).items()}
    c.assign(parts)
    c.seek_to_beginning(*parts)
    deadline = time.monotonic() + 120
    while any(c.position(p) < ends[p] for p in parts):
        need(time.monotonic() < deadline, "not read to the end of", name, result)
        for batch in c.poll(timeout_ms=100).values():
            for r in batch:
                result.add(r.key, r.value, r.headers)
    c.close()
    return result


def send(p, name, i, partitions=3):
    key, value, headers, timestamp = report.record(i)
    if key is None and value is None:
        value = b""  # this client wants at least one of them
    return (key, value, headers), p.send(name, value, key, headers, i % partitions, timestamp)


def create():
    name = topic("create")
    new_topic(name, 3, {"retention.ms": "86400000"})
    fails(TopicAlreadyExistsError, lambda: admin.create_topics({name: {"num_partitions": 3}}))
    need(len(admin.describe_topics([name])[0]["partitions"]) == 3, "partitions")
    need(name in admin.list_topics(), "not listed")
    need(len(admin.describe_cluster()["brokers"]) == 1, "brokers")


def produce(codec):
    name = topic(codec)
    new_topic(name, 3)
    sent = Sum()
    p = producer(compression_type=None if codec == "none" else codec, enable_idempotence=True)
    futures = []
    for i in range(report.N):
        r, f = send(p, name, i)
        sent.add(*r)
        futures.append(f)
    p.flush(60)
    for f in futures:
        f.get(60)
    p.close()
    got = read_all(name)
    need(got == sent, "sent", sent, "read", got)
    got.print(name)


def read_reference():
    read_all(report.reference).print(report.reference)


def fill(name, partitions, first, last):
    p = producer()
    for i in range(first, last):
        p.send(name, b"v%d" % i, b"k%d" % i, partition=i % partitions, timestamp_ms=START + i * 1000)
    p.flush(60)
    p.close()


def group():
    name, g = topic("group"), topic("g")
    new_topic(name, 4)
    fill(name, 4, 0, 400)
    seen = set()

    def take(c):
        for batch in c.poll(timeout_ms=200).values():
            for r in batch:
                need(r.key not in seen, "a record twice")
                seen.add(r.key)
        if c.assignment():
            c.commit()

    c = consumer(name, group_id=g, max_poll_records=50)
    deadline = time.monotonic() + 120
    while len(seen) < 150:
        need(time.monotonic() < deadline, len(seen))
        take(c)
    c.close(autocommit=False)
    fill(name, 4, 400, 500)
    # Each in a thread of its own: joining is waited for inside of poll.
    import threading
    lock, errors, stop = threading.Lock(), [], threading.Event()
    assigned = {}

    def member(client_id):
        try:
            c = consumer(name, group_id=g, client_id=client_id, max_poll_records=20)
            while not stop.is_set():
                for batch in c.poll(timeout_ms=200).values():
                    for r in batch:
                        with lock:
                            need(r.key not in seen, "a record twice")
                            seen.add(r.key)
                if c.assignment():
                    try:
                        c.commit()
                    except (CommitFailedError, RebalanceInProgressError):
                        pass  # the other one joins; everything is committed before that
                assigned[client_id] = len(c.assignment())
            c.close(autocommit=False)
        except Exception as e:
            errors.append(e)

    # The second joins when the first has read everything: an assignment that is taken from a member between its poll and its commit is read again.
    a, b = threading.Thread(target=member, args=("a",)), threading.Thread(target=member, args=("b",))
    deadline = time.monotonic() + 120
    a.start()
    while not errors:
        offsets = admin.list_group_offsets({g: None})[g]
        if len(seen) == 500 and sum(o.offset for o in offsets.values()) == 500:
            break
        need(time.monotonic() < deadline, len(seen), offsets)
        time.sleep(0.05)
    b.start()
    while assigned != {"a": 2, "b": 2} and not errors:
        need(time.monotonic() < deadline, assigned)
        time.sleep(0.05)
    d = admin.describe_groups([g])
    stop.set()
    a.join(60)
    b.join(60)
    need(not errors, errors)
    need(len(list(d.values())[0]["members"]) == 2, d)
    offsets = admin.list_group_offsets({g: None})[g]
    need(sum(o.offset for o in offsets.values()) == 500, offsets)


def by_time():
    name = topic("time")
    new_topic(name, 1)
    fill(name, 1, 0, 100)
    p = TopicPartition(name, 0)
    c = consumer()
    c.assign([p])
    found = c.offsets_for_times({p: START + 41_500})[p]
    need(found.offset == 42 and found.timestamp == START + 42_000, found)
    c.seek(p, found.offset)
    deadline = time.monotonic() + 60
    batch = {}
    while not batch:
        need(time.monotonic() < deadline, "nothing")
        batch = c.poll(timeout_ms=500)
    need(batch[p][0].value == b"v42", batch[p][0])
    need(c.offsets_for_times({p: START + 10_000_000})[p] is None, "a record after the last")
    c.close()
    largest = admin.list_partition_offsets({p: OffsetSpec.MAX_TIMESTAMP})
    need(largest[p].offset == 99, largest)


def configs():
    name = topic("create")
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"cleanup.policy": (AlterConfigOp.APPEND, "compact"),
                                                                         "segment.bytes": "16777216", "retention.ms": (AlterConfigOp.DELETE, None)})])
    c = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)], config_filter="all")
    found = {k: v["value"] for k, v in list(list(c.values())[0].values())[0].items()}
    need(set(found["cleanup.policy"].split(",")) == {"delete", "compact"} and found["segment.bytes"] == "16777216" and found["retention.ms"] == "604800000", found)
    need(admin.describe_log_dirs(), "no log dirs")


def groups():
    name, g = topic("group"), topic("g")
    p = TopicPartition(name, 0)
    need(g in [x["group_id"] for x in admin.list_groups()], "not listed")
    admin.alter_group_offsets(g, {p: OffsetAndMetadata(7, "by hand", -1)})
    o = admin.list_group_offsets({g: [p]})[g][p]
    need(o.offset == 7 and o.metadata == "by hand", o)
    admin.delete_group_offsets(g, [p])
    need(p not in admin.list_group_offsets({g: None})[g], "offset not deleted")
    need("OK" in str(admin.delete_groups([g])).upper(), "not deleted")
    need(g not in [x["group_id"] for x in admin.list_groups()], "still listed")


def records():
    name = topic("time")
    p = TopicPartition(name, 0)
    low = admin.delete_records({p: 30})
    need(low[p]["low_watermark"] == 30, low)
    need(read_all(name).count == 70, "records")


def topics():
    name = topic("create")
    admin.create_partitions({name: 5})
    need(len(admin.describe_topics([name])[0]["partitions"]) == 5, "partitions")
    admin.delete_topics([name])
    deadline = time.monotonic() + 60
    while name in admin.list_topics():
        need(time.monotonic() < deadline, "still there")
        time.sleep(0.1)


def transactions():
    source, name = topic("group"), topic("txn")
    new_topic(name, 3)
    committed = Sum()
    p = producer(transactional_id=topic("tx"))
    p.init_transactions()
    for round_ in range(6):
        p.begin_transaction()
        for i in range(50):
            r, _ = send(p, name, round_ * 50 + i)
            if round_ % 2 == 0:
                committed.add(*r)
        if round_ % 2 == 0:
            p.commit_transaction()
        else:
            p.flush(60)
            p.abort_transaction()
    p.close()
    got = read_all(name, isolation_level="read_committed")
    need(got == committed, "want", committed, "read", got)
    need(read_all(name).count == 300, "uncommitted")
    got.print(name)

    out, g = topic("copied"), topic("copier")
    new_topic(out, 4)
    p = producer(transactional_id=g)
    p.init_transactions()
    c = consumer(source, group_id=g, isolation_level="read_committed", max_poll_records=60)
    copied, round_ = 0, 0
    deadline = time.monotonic() + 120
    while copied < 500:
        need(time.monotonic() < deadline, copied)
        batch = c.poll(timeout_ms=200)
        if not batch:
            continue
        round_ += 1
        p.begin_transaction()
        for part in batch.values():
            for r in part:
                p.send(out, r.value, r.key, partition=r.partition)
        offsets = {tp: OffsetAndMetadata(part[-1].offset + 1, "", -1) for tp, part in batch.items()}
        p.send_offsets_to_transaction(offsets, c.group_metadata())
        if round_ % 3 == 1:
            p.abort_transaction()
            for tp in c.assignment():
                c.seek(tp, c.committed(tp) or 0)
            continue
        p.commit_transaction()
        copied += sum(len(part) for part in batch.values())
    c.close(autocommit=False)
    p.close()
    a, b = read_all(source), read_all(out, isolation_level="read_committed")
    need(a == b, "in", a, "out", b)
    b.print(out)


def fencing():
    name = topic("txn")
    zombie, next_ = producer(transactional_id=topic("fence")), producer(transactional_id=topic("fence"))
    zombie.init_transactions()
    zombie.begin_transaction()
    send(zombie, name, 1)[1].get(60)
    next_.init_transactions()

    def commit():
        send(zombie, name, 2)[1].get(60)
        zombie.commit_transaction()

    fails((ProducerFencedError, InvalidProducerEpochError), commit)
    next_.close()


def large():
    name = topic("large")
    new_topic(name, 3, {"max.message.bytes": str(LIMIT)})
    p = producer(max_request_size=10_000_000)
    value = bytes(bytearray((i * 7919 >> 3) & 0xff for i in range(LIMIT - 1000)))
    for i in range(3):
        p.send(name, value, b"large", partition=i).get(60)
    fails(MessageSizeTooLargeError, lambda: p.send(name, value + b"x" * 2000, b"large", partition=0).get(60))
    p.close()
    p = producer()  # an idempotent producer of this client does not survive an error, and repeats it
    p.send(name, b"small", b"after", partition=0).get(60)
    p.close()
    got = read_all(name, max_partition_fetch_bytes=1000, fetch_max_bytes=1000)
    need(got.count == 4, got)
    got.print(name)


check("create", create)
for codec_ in ("none", "gzip", "snappy", "lz4", "zstd"):
    check("produce-" + codec_, produce, codec_)
check("reference", read_reference)
check("group", group)
check("time", by_time)
check("admin-configs", configs)
check("admin-groups", groups)
check("admin-records", records)
check("admin-topics", topics)
check("transactions", transactions)
check("fencing", fencing)
check("large", large)
report.end()
