import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Members of consumer groups, each a consumer with a thread of its own, that come and go as standard input says:
 *
 * <pre>
 * start NAME key=value...   key is topics (with commas), pattern (RE2), or one of the consumer's settings
 * close NAME                it leaves; a static member leaves for a while
 * </pre>
 *
 * A line on standard output is an event:
 *
 * <pre>
 * has NAME topic-partition...             what it is assigned has changed
 * took NAME ok|maybe topic-partition from to   it got these offsets and committed what is behind them; maybe: it does not know whether it did
 * failed NAME text                        it has ended with this exception
 * closed NAME
 * </pre>
 */
public final class Members {
    private static final Map<String, Member> members = new LinkedHashMap<>();

    private Members() {}

    public static void main(String[] args) throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.split(" ");
            if (words[0].equals("start")) {
                Map<String, String> settings = new HashMap<>();
                for (String word : Arrays.copyOfRange(words, 2, words.length)) {
                    String[] pair = word.split("=", 2);
                    settings.put(pair[0], pair[1]);
                }
                Member m = new Member(words[1], settings);
                members.put(words[1], m);
                m.start();
            } else {
                members.get(words[1]).closing = true;
            }
        }
        for (Member m : members.values()) {
            m.closing = true;
        }
        for (Member m : members.values()) {
            m.join();
        }
    }

    private static synchronized void say(Object... words) {
        StringBuilder line = new StringBuilder();
        for (Object w : words) {
            line.append(line.length() == 0 ? "" : " ").append(w);
        }
        System.out.println(line.toString().replace('\n', ' '));
    }

    private static final class Member extends Thread {
        private final String name;
        private final Map<String, String> settings;
        private volatile boolean closing;

        Member(String name, Map<String, String> settings) {
            super(name);
            this.name = name;
            this.settings = settings;
        }

        @Override
        public void run() {
            Properties p = new Properties();
            p.put("bootstrap.servers", System.getenv("CLIENT_BOOTSTRAP"));
            p.put("client.id", name);
            p.put("auto.offset.reset", "earliest");
            p.put("enable.auto.commit", "false");
            p.put("fetch.max.wait.ms", "100");
            p.put("metadata.max.age.ms", "2000");
            p.put("reconnect.backoff.max.ms", "200");
            p.put("max.poll.records", "50");
            p.putAll(settings);
            Object topics = p.remove("topics");
            Object pattern = p.remove("pattern");
            try (KafkaConsumer<byte[], byte[]> c = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
                if (pattern == null) {
                    c.subscribe(List.of(topics.toString().split(",")));
                } else {
                    c.subscribe(new SubscriptionPattern(pattern.toString()));
                }
                String last = null;
                while (!closing) {
                    ConsumerRecords<byte[], byte[]> records = c.poll(Duration.ofMillis(100));
                    TreeSet<String> has = new TreeSet<>();
                    c.assignment().forEach(a -> has.add(a.toString()));
                    String now = String.join(" ", has);
                    if (!now.equals(last)) {
                        last = now;
                        say("has", name, now);
                    }
                    take(c, records);
                }
            } catch (Exception e) {
                say("failed", name, e);
                return;
            }
            say("closed", name);
        }

        private void take(KafkaConsumer<byte[], byte[]> c, ConsumerRecords<byte[], byte[]> records) {
            if (records.isEmpty()) {
                return;
            }
            Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
            for (TopicPartition p : records.partitions()) {
                List<ConsumerRecord<byte[], byte[]>> list = records.records(p);
                offsets.put(p, new OffsetAndMetadata(list.get(list.size() - 1).offset() + 1));
                for (int i = 1; i < list.size(); i++) {
                    if (list.get(i).offset() != list.get(i - 1).offset() + 1) {
                        throw new IllegalStateException(p + ": " + list.get(i).offset() + " after " + list.get(i - 1).offset());
                    }
                }
            }
            String outcome = "ok";
            try {
                c.commitSync(offsets);
            } catch (Exception e) {
                outcome = "maybe"; // a refusal may be the answer to a second try of what was done at the first
                System.err.println(name + ": commit: " + e);
            }
            for (TopicPartition p : records.partitions()) {
                say("took", name, outcome, p, records.records(p).get(0).offset(), offsets.get(p).offset());
            }
        }
    }
}
