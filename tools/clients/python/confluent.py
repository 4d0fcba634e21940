"""What a user does with confluent-kafka, which is librdkafka."""

import time

from confluent_kafka import (OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer,
                             TopicPartition)
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType)

import report
from report import LIMIT, START, Sum, check, need, topic

connection = {"bootstrap.servers": report.bootstrap}
if report.sasl:
    connection.update({"security.protocol": "SASL_SSL", "sasl.mechanism": report.mechanism, "sasl.username": report.user, "sasl.password": report.password,
                       "ssl.ca.location": report.ca})
admin = AdminClient(connection)


def fails(code, body):
    try:
        body()
    except KafkaException as e:
        need(e.args[0].code() == code, "want", code, "got", e)
        return e.args[0]
    raise AssertionError("want error %d, got none" % code)


def wait(futures):
    return {k: f.result(60) for k, f in futures.items()}


def new_topic(name, partitions, config=None):
    wait(admin.create_topics([NewTopic(name, partitions, config=config or {})]))
    deadline = time.monotonic() + 60
    while name not in admin.list_topics(timeout=10).topics:
        need(time.monotonic() < deadline, name, "does not appear")


def consumer(**more):
    config = dict(connection, **{"group.id": topic("unused"), "auto.offset.reset": "earliest", "enable.auto.commit": False, "enable.partition.eof": False})
    config.update({k.replace("_", "."): v for k, v in more.items()})
    return Consumer(config)


def producer(**more):
    config = dict(connection, **{"acks": "all", "linger.ms": 5})
    config.update({k.replace("_", "."): v for k, v in more.items()})
    return Producer(config)


def read_all(name, **more):
    # The ends without regard to isolation: for read_committed a transaction whose markers are still being written is behind them.
    c, any_ = consumer(**more), consumer(isolation_level="read_uncommitted")
    ends, result = {}, Sum()
    for p in c.list_topics(name, timeout=30).topics[name].partitions:
        low, high = any_.get_watermark_offsets(TopicPartition(name, p), timeout=30)
        if low < high:
            ends[p] = high
    any_.close()
    c.assign([TopicPartition(name, p, OFFSET_BEGINNING) for p in ends])
    deadline = time.monotonic() + 120
    while ends:
        need(time.monotonic() < deadline, "not read to the end of", name, result)
        m = c.poll(0.05)
        if m is not None:
            need(m.error() is None, m.error())
            result.add(m.key(), m.value(), m.headers())
        for p in c.position([TopicPartition(name, p) for p in ends]):
            if p.offset >= ends[p.partition]:
                del ends[p.partition]
    c.close()
    return result


class Delivery:
    def __init__(self):
        self.delivered = 0
        self.errors = []

    def __call__(self, error, message):
        if error:
            self.errors.append(error)
        else:
            self.delivered += 1


def send(p, name, i, report_to=None, partitions=3):
    key, value, headers, timestamp = report.record(i)
    p.produce(name, value, key, i % partitions, report_to, timestamp=timestamp, headers=headers)
    return key, value, headers


def create():
    name = topic("create")
    new_topic(name, 3, {"retention.ms": "86400000"})
    fails(KafkaError.TOPIC_ALREADY_EXISTS, lambda: wait(admin.create_topics([NewTopic(name, 3)])))
    need(len(admin.list_topics(timeout=30).topics[name].partitions) == 3, "partitions")
    from confluent_kafka import TopicCollection
    d = wait(admin.describe_topics(TopicCollection([name])))[name]
    need(len(d.partitions) == 3 and d.partitions[0].leader is not None, d)
    need(len(admin.describe_cluster().result(30).nodes) == 1, "nodes")


def produce(codec):
    name = topic(codec)
    new_topic(name, 3)
    sent, d = Sum(), Delivery()
    p = producer(compression_type=codec, enable_idempotence=True)
    for i in range(report.N):
        sent.add(*send(p, name, i, d))
    need(p.flush(60) == 0 and d.delivered == report.N and not d.errors, d.delivered, d.errors)
    got = read_all(name)
    need(got == sent, "sent", sent, "read", got)
    got.print(name)


def read_reference():
    read_all(report.reference).print(report.reference)


def fill(name, partitions, first, last):
    p = producer()
    for i in range(first, last):
        p.produce(name, b"v%d" % i, b"k%d" % i, i % partitions, timestamp=START + i * 1000)
    need(p.flush(60) == 0, "not flushed")


def commit_position(c):
    read = [p for p in c.position(c.assignment()) if p.offset >= 0]
    if read:
        c.commit(offsets=read, asynchronous=False)


def group():
    name, g = topic("group"), topic("g")
    new_topic(name, 4)
    fill(name, 4, 0, 400)
    seen = set()

    def take(c, timeout):
        m = c.poll(timeout)
        if m is not None:
            need(m.error() is None, m.error())
            need(m.key() not in seen, "a record twice")
            seen.add(m.key())
            c.commit(m, asynchronous=True)

    c = consumer(group_id=g)
    c.subscribe([name])
    deadline = time.monotonic() + 120
    while len(seen) < 150:
        need(time.monotonic() < deadline, len(seen))
        take(c, 0.2)
    commit_position(c)
    c.close()
    fill(name, 4, 400, 500)
    a = consumer(group_id=g, client_id="a", partition_assignment_strategy="cooperative-sticky")
    b = consumer(group_id=g, client_id="b", partition_assignment_strategy="cooperative-sticky")
    a.subscribe([name])
    deadline = time.monotonic() + 120
    # The second joins when everything is read and committed: a record that is taken from a member between reading and commit is read again.
    while len(seen) < 500:
        need(time.monotonic() < deadline, len(seen))
        take(a, 0.2)
    commit_position(a)
    b.subscribe([name])
    while len(a.assignment()) != 2 or len(b.assignment()) != 2:
        need(time.monotonic() < deadline, len(seen), a.assignment(), b.assignment())
        take(a, 0.02)
        take(b, 0.02)
    d = wait(admin.describe_consumer_groups([g]))[g]
    need(len(d.members) == 2, d.members)
    for c in (a, b):
        commit_position(c)
        c.close()
    offsets = wait(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(g)]))[g].topic_partitions
    need(sum(o.offset for o in offsets) == 500, offsets)


def by_time():
    name = topic("time")
    new_topic(name, 1)
    fill(name, 1, 0, 100)
    c = consumer()
    found = c.offsets_for_times([TopicPartition(name, 0, START + 41_500)], timeout=30)
    need(found[0].offset == 42, found)
    c.assign(found)
    deadline = time.monotonic() + 60
    m = None
    while m is None:
        need(time.monotonic() < deadline, "nothing")
        m = c.poll(0.5)
    need(m.value() == b"v42" and m.timestamp()[1] == START + 42_000, m.value(), m.timestamp())
    after = c.offsets_for_times([TopicPartition(name, 0, START + 10_000_000)], timeout=30)
    need(after[0].offset == -1, after)
    c.close()
    largest = wait(admin.list_offsets({TopicPartition(name, 0): OffsetSpec.max_timestamp()}))
    need([r.offset for r in largest.values()] == [99], largest)


def configs():
    name = topic("create")
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[
        ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND),
        ConfigEntry("segment.bytes", "16777216", incremental_operation=AlterConfigOpType.SET),
        ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE)])
    wait(admin.incremental_alter_configs([resource]))
    c = list(wait(admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)])).values())[0]
    need(set(c["cleanup.policy"].value.split(",")) == {"delete", "compact"}, c["cleanup.policy"])
    need(c["segment.bytes"].value == "16777216" and not c["segment.bytes"].is_default, c["segment.bytes"])
    need(c["retention.ms"].value == "604800000" and c["retention.ms"].is_default, c["retention.ms"])
    # The older call replaces everything.
    wait(admin.alter_configs([ConfigResource(ResourceType.TOPIC, name, set_config={"retention.ms": "3600000"})]))
    c = list(wait(admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)])).values())[0]
    need(c["retention.ms"].value == "3600000" and c["segment.bytes"].is_default, c["retention.ms"], c["segment.bytes"])


def groups():
    name, g = topic("group"), topic("g")
    need(g in [v.group_id for v in admin.list_consumer_groups().result(30).valid], "not listed")
    wait(admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(g, [TopicPartition(name, 0, 7)])]))
    offsets = wait(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(g, [TopicPartition(name, 0)])]))[g].topic_partitions
    need(offsets[0].offset == 7, offsets)
    wait(admin.delete_consumer_groups([g]))
    fails(KafkaError.GROUP_ID_NOT_FOUND, lambda: wait(admin.delete_consumer_groups([g])))


def records():
    name = topic("time")
    low = wait(admin.delete_records([TopicPartition(name, 0, 30)]))
    need([d.low_watermark for d in low.values()] == [30], low)
    need(read_all(name).count == 70, "records")


def topics():
    name = topic("create")
    wait(admin.create_partitions([NewPartitions(name, 5)]))
    deadline = time.monotonic() + 60
    while len(admin.list_topics(timeout=30).topics[name].partitions) != 5:
        need(time.monotonic() < deadline, "partitions")
    wait(admin.delete_topics([name]))
    while name in admin.list_topics(timeout=30).topics:
        need(time.monotonic() < deadline, "still there")


def transactions():
    source, name = topic("group"), topic("txn")
    new_topic(name, 3)
    committed = Sum()
    p = producer(transactional_id=topic("tx"))
    p.init_transactions(60)
    for round_ in range(6):
        p.begin_transaction()
        for i in range(50):
            r = send(p, name, round_ * 50 + i)
            if round_ % 2 == 0:
                committed.add(*r)
        if round_ % 2 == 0:
            p.commit_transaction(60)
        else:
            p.flush(60)
            p.abort_transaction(60)
    got = read_all(name)
    need(got == committed, "want", committed, "read", got)
    need(read_all(name, isolation_level="read_uncommitted").count == 300, "uncommitted")
    got.print(name)

    out, g = topic("copied"), topic("copier")
    new_topic(out, 4)
    p = producer(transactional_id=g)
    p.init_transactions(60)
    c = consumer(group_id=g)
    c.subscribe([source])
    copied, round_ = 0, 0
    deadline = time.monotonic() + 120
    while copied < 500:
        need(time.monotonic() < deadline, copied)
        batch = c.consume(60, 0.2)
        if not batch:
            continue
        round_ += 1
        p.begin_transaction()
        for m in batch:
            need(m.error() is None, m.error())
            p.produce(out, m.value(), m.key(), m.partition())
        p.send_offsets_to_transaction(c.position(c.assignment()), c.consumer_group_metadata(), 60)
        if round_ % 3 == 1:
            p.abort_transaction(60)
            for o in c.committed(c.assignment(), 30):
                c.seek(TopicPartition(o.topic, o.partition, OFFSET_BEGINNING if o.offset < 0 else o.offset))
            continue
        p.commit_transaction(60)
        copied += len(batch)
    c.close()
    a, b = read_all(source), read_all(out)
    need(a == b, "in", a, "out", b)
    b.print(out)


def fencing():
    name = topic("txn")
    zombie, next_ = producer(transactional_id=topic("fence")), producer(transactional_id=topic("fence"))
    zombie.init_transactions(60)
    zombie.begin_transaction()
    send(zombie, name, 1)
    zombie.flush(60)
    next_.init_transactions(60)
    try:
        send(zombie, name, 2)
        zombie.commit_transaction(60)
    except KafkaException as e:
        need(e.args[0].code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError._STATE), e)
        return
    raise AssertionError("the zombie committed")


def large():
    name = topic("large")
    new_topic(name, 3, {"max.message.bytes": str(LIMIT)})
    p = producer(message_max_bytes=10_000_000)
    d = Delivery()
    value = bytes(bytearray((i * 7919 >> 3) & 0xff for i in range(LIMIT - 1000)))
    for i in range(3):
        p.produce(name, value, b"large", i, d)
    p.flush(60)
    need(d.delivered == 3, d.errors)
    p.produce(name, value + b"x" * 2000, b"large", 0, d)
    p.flush(60)
    need([e.code() for e in d.errors] == [KafkaError.MSG_SIZE_TOO_LARGE], d.errors)
    p.produce(name, b"small", b"after", 0, d)
    p.flush(60)
    need(d.delivered == 4, d.errors)
    got = read_all(name, fetch_message_max_bytes=1000, message_max_bytes=1000, fetch_max_bytes=1000)
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
