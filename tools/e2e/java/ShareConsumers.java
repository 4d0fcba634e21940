import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Share consumers that do what is said on standard input, a command a line; each is answered by one line. The argument is the address of a broker.
 *
 * <pre>
 * open NAME GROUP TOPIC implicit|explicit
 * poll NAME COUNT MILLIS       polls until it has so many records or the time is up: VALUE/DELIVERIES ...
 * ack NAME TYPE VALUE...       accept, release, reject, renew
 * commit NAME                  "committed", or what a partition failed with
 * close NAME
 * </pre>
 */
public final class ShareConsumers {
    private static final Map<String, KafkaShareConsumer<String, String>> consumers = new HashMap<>();
    private static final Map<String, Map<String, ConsumerRecord<String, String>>> polled = new HashMap<>();

    private ShareConsumers() {}

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            List<String> words = Arrays.asList(line.trim().split(" +"));
            String answer;
            try {
                answer = run(args[0], words.get(0), words.get(1), words.subList(2, words.size()));
            } catch (RuntimeException e) {
                answer = "failed: " + e;
            }
            System.out.println("> " + answer);
            System.out.flush();
        }
        System.exit(0);
    }

    private static String run(String address, String command, String name, List<String> rest) {
        switch (command) {
            case "open":
                return open(address, name, rest.get(0), rest.get(1), rest.get(2));
            case "poll":
                return poll(name, Integer.parseInt(rest.get(0)), Long.parseLong(rest.get(1)));
            case "ack":
                for (String value : rest.subList(1, rest.size())) {
                    consumers.get(name).acknowledge(polled.get(name).get(value), AcknowledgeType.valueOf(rest.get(0).toUpperCase()));
                }
                return "ok";
            case "commit":
                return commit(name);
            case "close":
                consumers.remove(name).close(Duration.ofSeconds(20));
                return "ok";
            default:
                throw new IllegalArgumentException(command);
        }
    }

    private static String open(String address, String name, String group, String topic, String mode) {
        Properties p = new Properties();
        p.put("bootstrap.servers", address);
        p.put("group.id", group);
        p.put("client.id", name);
        p.put("share.acknowledgement.mode", mode);
        KafkaShareConsumer<String, String> c = new KafkaShareConsumer<>(p, new StringDeserializer(), new StringDeserializer());
        c.subscribe(List.of(topic));
        consumers.put(name, c);
        return "ok";
    }

    private static String poll(String name, int count, long millis) {
        Map<String, ConsumerRecord<String, String>> got = new HashMap<>();
        List<String> out = new ArrayList<>();
        long end = System.currentTimeMillis() + millis;
        while (out.size() < count && System.currentTimeMillis() < end) {
            for (ConsumerRecord<String, String> r : consumers.get(name).poll(Duration.ofMillis(200))) {
                got.put(r.value(), r);
                out.add(r.value() + "/" + r.deliveryCount().orElse((short) -1));
            }
        }
        polled.put(name, got);
        return String.join(" ", out);
    }

    private static String commit(String name) {
        Map<TopicIdPartition, Optional<KafkaException>> result = consumers.get(name).commitSync(Duration.ofSeconds(20));
        for (Optional<KafkaException> e : result.values()) {
            if (e.isPresent()) {
                return "failed: " + e.get().getClass().getSimpleName();
            }
        }
        return "committed";
    }
}
