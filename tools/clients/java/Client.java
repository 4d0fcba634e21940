import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ListOffsetsResult;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** What a user does with the producer, the consumer and the admin client of Java; compiled against 3.9 and 4.x. */
public final class Client {
    private static final int N = 300;
    private static Admin admin;

    private Client() {}

    public static void main(String[] args) throws Exception {
        admin = Admin.create(Report.connection());
        Report.check("create", Client::create);
        for (String codec : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
            Report.check("produce-" + codec, () -> produceWith(codec));
        }
        Report.check("reference", Client::reference);
        Report.check("group", Client::group);
        Report.check("time", Client::time);
        Report.check("admin-configs", Client::configs);
        Report.check("admin-groups", Client::groups);
        Report.check("admin-records", Client::records);
        Report.check("admin-topics", Client::topics);
        Report.check("transactions", Client::transactions);
        Report.check("fencing", Client::fencing);
        Report.check("large", Client::large);
        admin.close();
        System.exit(Report.failures == 0 ? 0 : 1);
    }

    private static KafkaProducer<byte[], byte[]> producer(String... more) throws Exception {
        Properties p = Report.connection();
        p.put("acks", "all");
        for (int i = 0; i < more.length; i += 2) {
            p.put(more[i], more[i + 1]);
        }
        return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String... more) throws Exception {
        Properties p = Report.connection();
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        for (int i = 0; i < more.length; i += 2) {
            p.put(more[i], more[i + 1]);
        }
        return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static byte[] bytes(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, int i) {
        byte[] key = i % 7 == 0 ? null : bytes("key-" + i % 50);
        byte[] value = i % 11 == 0 ? null : i % 13 == 0 ? new byte[0] : bytes("value " + i + " " + "x".repeat(i % 100));
        ProducerRecord<byte[], byte[]> r = new ProducerRecord<>(topic, i % 3, START + i * 1000L, key, value);
        if (i % 2 == 0) {
            r.headers().add("n", bytes(Integer.toString(i)));
            r.headers().add("none", null);
            r.headers().add("\u00fcmlaut", bytes("\u20ac"));
        }
        return r;
    }

    private static final long START = System.currentTimeMillis() - 3_600_000;

    private static void newTopic(String name, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(name, Optional.of(partitions), Optional.empty()).configs(configs))).all().get();
    }

    private static <E extends Throwable> void fails(Class<E> with, Future<?> future) throws Exception {
        try {
            future.get(60, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            Report.need(with.isInstance(e.getCause()), "want " + with.getSimpleName() + ", got " + e.getCause());
            return;
        }
        throw new AssertionError("want " + with.getSimpleName() + ", got no error");
    }

    private static List<TopicPartition> partitions(String topic, int n) {
        List<TopicPartition> list = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            list.add(new TopicPartition(topic, i));
        }
        return list;
    }

    /** Reads everything that is in the topic now, to its end offsets. */
    private static Report.Sum readAll(String topic, int n, String... more) throws Exception {
        Report.Sum sum = new Report.Sum();
        try (KafkaConsumer<byte[], byte[]> c = consumer(more)) {
            List<TopicPartition> all = partitions(topic, n);
            c.assign(all);
            c.seekToBeginning(all);
            // Not the consumer's end offsets: with read_committed a transaction whose markers are still being written is behind them.
            Map<TopicPartition, OffsetSpec> latest = new HashMap<>();
            all.forEach(p -> latest.put(p, OffsetSpec.latest()));
            Map<TopicPartition, ListOffsetsResult.ListOffsetsResultInfo> ends = admin.listOffsets(latest).all().get();
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
            while (true) {
                boolean done = true;
                for (TopicPartition p : all) {
                    done &= c.position(p) >= ends.get(p).offset();
                }
                if (done) {
                    return sum;
                }
                Report.need(System.nanoTime() < deadline, "not read to the end of " + topic + ": " + sum);
                c.poll(Duration.ofMillis(200)).forEach(sum::add);
            }
        }
    }

    private static void create() throws Exception {
        String t = Report.topic("create");
        newTopic(t, 3, Map.of("retention.ms", "86400000"));
        fails(TopicExistsException.class, admin.createTopics(List.of(new NewTopic(t, 3, (short) 1))).all());
        TopicDescription d = admin.describeTopics(List.of(t)).allTopicNames().get().get(t);
        Report.need(d.partitions().size() == 3 && d.partitions().get(0).leader() != null && !d.topicId().toString().isEmpty(), d.toString());
        Report.need(admin.listTopics().names().get().contains(t), "not listed");
        Report.need(!admin.describeCluster().nodes().get().isEmpty(), "no nodes");
    }

    private static void produceWith(String codec) throws Exception {
        String t = Report.topic(codec);
        newTopic(t, 3, Map.of());
        Report.Sum sent = new Report.Sum();
        try (KafkaProducer<byte[], byte[]> p = producer("compression.type", codec, "linger.ms", "5", "enable.idempotence", "true")) {
            List<Future<RecordMetadata>> list = new ArrayList<>();
            for (int i = 0; i < N; i++) {
                ProducerRecord<byte[], byte[]> r = record(t, i);
                sent.add(r.key(), r.value(), r.headers());
                list.add(p.send(r));
            }
            for (Future<RecordMetadata> f : list) {
                Report.need(f.get().hasOffset(), "no offset");
            }
        }
        Report.Sum read = readAll(t, 3);
        Report.need(read.sum == sent.sum && read.count == sent.count, "sent " + sent + ", read " + read);
        read.print(t);
    }

    private static void reference() throws Exception {
        String t = System.getenv("CLIENT_REFERENCE");
        readAll(t, admin.describeTopics(List.of(t)).allTopicNames().get().get(t).partitions().size()).print(t);
    }

    private static void fill(String t, int partitions, int from, int to) throws Exception {
        try (KafkaProducer<byte[], byte[]> p = producer("linger.ms", "5")) {
            for (int i = from; i < to; i++) {
                p.send(new ProducerRecord<>(t, i % partitions, START + i * 1000L, bytes("k" + i), bytes("v" + i)));
            }
            p.flush();
        }
    }

    /** A member commits and leaves, another goes on from there; two members share the partitions. */
    private static void group() throws Exception {
        String t = Report.topic("group");
        String g = Report.topic("g");
        newTopic(t, 4, Map.of());
        fill(t, 4, 0, 400);
        Set<String> seen = new HashSet<>();
        try (KafkaConsumer<byte[], byte[]> c = consumer("group.id", g, "max.poll.records", "50")) {
            c.subscribe(List.of(t));
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
            while (seen.size() < 150) {
                Report.need(System.nanoTime() < deadline, "only " + seen.size() + " records");
                for (ConsumerRecord<byte[], byte[]> r : c.poll(Duration.ofMillis(200))) {
                    Report.need(seen.add(new String(r.key(), StandardCharsets.UTF_8)), "a record twice");
                }
            }
            c.commitSync();
        }
        fill(t, 4, 400, 500);
        try (KafkaConsumer<byte[], byte[]> a = consumer("group.id", g, "client.id", "a");
                KafkaConsumer<byte[], byte[]> b = consumer("group.id", g, "client.id", "b", "group.instance.id", "static-b")) {
            a.subscribe(List.of(t));
            b.subscribe(List.of(t));
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(90);
            while (seen.size() < 500 || a.assignment().size() != 2 || b.assignment().size() != 2) {
                Report.need(System.nanoTime() < deadline, seen.size() + " of 500 records, " + a.assignment() + " " + b.assignment());
                for (KafkaConsumer<byte[], byte[]> c : List.of(a, b)) {
                    for (ConsumerRecord<byte[], byte[]> r : c.poll(Duration.ofMillis(100))) {
                        Report.need(seen.add(new String(r.key(), StandardCharsets.UTF_8)), "a record twice");
                    }
                    c.commitSync();
                }
            }
            ConsumerGroupDescription d = admin.describeConsumerGroups(List.of(g)).all().get().get(g);
            Report.need(d.members().size() == 2 && d.members().stream().anyMatch(m -> m.groupInstanceId().orElse("").equals("static-b")), d.toString());
        }
        long committed = 0;
        for (OffsetAndMetadata o : admin.listConsumerGroupOffsets(g).partitionsToOffsetAndMetadata().get().values()) {
            committed += o.offset();
        }
        Report.need(committed == 500, "committed " + committed);
    }

    private static void time() throws Exception {
        String t = Report.topic("time");
        newTopic(t, 1, Map.of());
        fill(t, 1, 0, 100);
        TopicPartition p = new TopicPartition(t, 0);
        try (KafkaConsumer<byte[], byte[]> c = consumer()) {
            c.assign(List.of(p));
            Map<TopicPartition, OffsetAndTimestamp> found = c.offsetsForTimes(Map.of(p, START + 41_500));
            Report.need(found.get(p).offset() == 42 && found.get(p).timestamp() == START + 42_000, found.toString());
            c.seek(p, found.get(p).offset());
            ConsumerRecords<byte[], byte[]> records = ConsumerRecords.empty();
            for (int i = 0; i < 100 && records.isEmpty(); i++) {
                records = c.poll(Duration.ofMillis(200));
            }
            Report.need(new String(records.iterator().next().value()).equals("v42"), "not the record");
            Report.need(c.offsetsForTimes(Map.of(p, START + 1_000_000L)).get(p) == null, "a record after the last");
        }
        Map<TopicPartition, ListOffsetsResult.ListOffsetsResultInfo> max = admin.listOffsets(Map.of(p, OffsetSpec.maxTimestamp())).all().get();
        Report.need(max.get(p).offset() == 99 && max.get(p).timestamp() == START + 99_000, max.toString());
    }

    private static void configs() throws Exception {
        String t = Report.topic("create");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, t);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND),
                new AlterConfigOp(new ConfigEntry("segment.bytes", "16777216"), AlterConfigOp.OpType.SET),
                new AlterConfigOp(new ConfigEntry("retention.ms", ""), AlterConfigOp.OpType.DELETE)))).all().get();
        Config c = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        Report.need(c.get("cleanup.policy").value().equals("delete,compact") || c.get("cleanup.policy").value().equals("compact,delete"), c.get("cleanup.policy").toString());
        Report.need(c.get("segment.bytes").value().equals("16777216") && c.get("segment.bytes").source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, c.get("segment.bytes").toString());
        Report.need(c.get("retention.ms").value().equals("604800000") && c.get("retention.ms").isDefault(), c.get("retention.ms").toString());
        Collection<org.apache.kafka.common.Node> nodes = admin.describeCluster().nodes().get();
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, nodes.iterator().next().idString());
        Report.need(admin.describeConfigs(List.of(broker)).all().get().get(broker).get("node.id") != null, "no node.id");
        Report.need(!admin.describeLogDirs(List.of(nodes.iterator().next().id())).allDescriptions().get().isEmpty(), "no log dirs");
    }

    private static void groups() throws Exception {
        String t = Report.topic("group");
        String g = Report.topic("g");
        TopicPartition p = new TopicPartition(t, 0);
        Report.need(admin.listConsumerGroups().all().get().stream().anyMatch(l -> l.groupId().equals(g)), "not listed");
        // The static member has left without leaving the group: it is there until its session ends, or somebody removes it.
        admin.removeMembersFromConsumerGroup(g, new org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions()).all().get();
        admin.alterConsumerGroupOffsets(g, Map.of(p, new OffsetAndMetadata(7, Optional.of(0), "by hand"))).all().get();
        OffsetAndMetadata o = admin.listConsumerGroupOffsets(g).partitionsToOffsetAndMetadata().get().get(p);
        Report.need(o.offset() == 7 && o.metadata().equals("by hand"), o.toString());
        admin.deleteConsumerGroupOffsets(g, Set.of(p)).all().get();
        Report.need(admin.listConsumerGroupOffsets(g).partitionsToOffsetAndMetadata().get().get(p) == null, "offset not deleted");
        admin.deleteConsumerGroups(List.of(g)).all().get();
        fails(GroupIdNotFoundException.class, admin.deleteConsumerGroups(List.of(g)).all());
    }

    private static void records() throws Exception {
        String t = Report.topic("time");
        TopicPartition p = new TopicPartition(t, 0);
        Report.need(admin.deleteRecords(Map.of(p, RecordsToDelete.beforeOffset(30))).lowWatermarks().get(p).get().lowWatermark() == 30, "low watermark");
        Report.need(admin.listOffsets(Map.of(p, OffsetSpec.earliest())).all().get().get(p).offset() == 30, "earliest");
        Report.Sum sum = readAll(t, 1);
        Report.need(sum.count == 70, sum.toString());
    }

    private static void topics() throws Exception {
        String t = Report.topic("create");
        admin.createPartitions(Map.of(t, NewPartitions.increaseTo(5))).all().get();
        Report.need(admin.describeTopics(List.of(t)).allTopicNames().get().get(t).partitions().size() == 5, "partitions");
        admin.deleteTopics(List.of(t)).all().get();
        fails(UnknownTopicOrPartitionException.class, admin.describeTopics(List.of(t)).allTopicNames());
    }

    /** Commits are seen, aborts are not, and a consume-transform-produce loop moves its offsets with its records. */
    private static void transactions() throws Exception {
        String in = Report.topic("group");
        String t = Report.topic("txn");
        newTopic(t, 3, Map.of());
        Report.Sum committed = new Report.Sum();
        try (KafkaProducer<byte[], byte[]> p = producer("transactional.id", Report.topic("tx"), "linger.ms", "2")) {
            p.initTransactions();
            for (int round = 0; round < 6; round++) {
                p.beginTransaction();
                for (int i = 0; i < 50; i++) {
                    ProducerRecord<byte[], byte[]> r = record(t, round * 50 + i);
                    p.send(r);
                    if (round % 2 == 0) {
                        committed.add(r.key(), r.value(), r.headers());
                    }
                }
                if (round % 2 == 0) {
                    p.commitTransaction();
                } else {
                    p.flush();
                    p.abortTransaction();
                }
            }
        }
        Report.Sum sum = readAll(t, 3, "isolation.level", "read_committed");
        Report.need(sum.count == committed.count && sum.sum == committed.sum, "want " + committed + ", read " + sum);
        Report.need(readAll(t, 3).count == 300, "uncommitted");
        sum.print(t);

        String out = Report.topic("copied");
        String g = Report.topic("copier");
        newTopic(out, 4, Map.of());
        try (KafkaProducer<byte[], byte[]> p = producer("transactional.id", g);
                KafkaConsumer<byte[], byte[]> c = consumer("group.id", g, "isolation.level", "read_committed", "max.poll.records", "60")) {
            p.initTransactions();
            c.subscribe(List.of(in));
            int copied = 0;
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
            for (int round = 0; copied < 500; round++) {
                Report.need(System.nanoTime() < deadline, "copied " + copied);
                ConsumerRecords<byte[], byte[]> records = c.poll(Duration.ofMillis(200));
                if (records.isEmpty()) {
                    continue;
                }
                p.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                for (ConsumerRecord<byte[], byte[]> r : records) {
                    p.send(new ProducerRecord<>(out, r.partition(), r.key(), r.value()));
                    offsets.put(new TopicPartition(r.topic(), r.partition()), new OffsetAndMetadata(r.offset() + 1));
                }
                p.sendOffsetsToTransaction(offsets, c.groupMetadata());
                if (round % 3 == 1) {
                    p.abortTransaction();
                    for (TopicPartition a : c.assignment()) {
                        OffsetAndMetadata o = c.committed(Set.of(a)).get(a);
                        c.seek(a, o == null ? 0 : o.offset());
                    }
                    continue;
                }
                p.commitTransaction();
                copied += records.count();
            }
        }
        Report.Sum from = readAll(in, 4);
        Report.Sum to = readAll(out, 4, "isolation.level", "read_committed");
        Report.need(from.sum == to.sum && from.count == to.count, "in " + from + ", out " + to);
        to.print(out);
    }

    private static void fencing() throws Exception {
        String t = Report.topic("txn");
        try (KafkaProducer<byte[], byte[]> zombie = producer("transactional.id", Report.topic("fence"))) {
            zombie.initTransactions();
            zombie.beginTransaction();
            zombie.send(record(t, 1)).get();
            try (KafkaProducer<byte[], byte[]> next = producer("transactional.id", Report.topic("fence"))) {
                next.initTransactions();
                try {
                    zombie.send(record(t, 2)).get();
                    zombie.commitTransaction();
                    throw new AssertionError("the zombie committed");
                } catch (ProducerFencedException | InvalidProducerEpochException e) {
                    // What it has to be.
                } catch (ExecutionException e) {
                    Report.need(e.getCause() instanceof ProducerFencedException || e.getCause() instanceof InvalidProducerEpochException, e.toString());
                }
            }
        }
    }

    private static void large() throws Exception {
        String t = Report.topic("large");
        int limit = 3_000_000;
        newTopic(t, 3, Map.of("max.message.bytes", Integer.toString(limit)));
        byte[] value = new byte[limit - 200];
        new java.util.Random(1).nextBytes(value);
        try (KafkaProducer<byte[], byte[]> p = producer("max.request.size", "10000000", "buffer.memory", "40000000")) {
            for (int i = 0; i < 3; i++) {
                p.send(new ProducerRecord<>(t, i, bytes("large"), value)).get();
            }
            fails(RecordTooLargeException.class, p.send(new ProducerRecord<>(t, 0, bytes("large"), Arrays.copyOf(value, limit + 1))));
            p.send(new ProducerRecord<>(t, 0, bytes("after"), bytes("small"))).get();
        }
        try (KafkaProducer<byte[], byte[]> p = producer()) {
            fails(RecordTooLargeException.class, p.send(new ProducerRecord<>(t, 0, bytes("large"), value)));
        }
        // A consumer whose limit is below the size of the record gets it all the same.
        Report.Sum sum = readAll(t, 3, "max.partition.fetch.bytes", "1000", "fetch.max.bytes", "1000");
        Report.need(sum.count == 4, sum.toString());
        sum.print(t);
    }
}
