import java.time.Duration;
import java.util.Arrays;
import java.util.Locale;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * Counts words exactly once: every word goes through a repartition topic into a state store, which has a changelog, and every new count is written to the
 * output topic. Ends when its standard input does.
 */
public final class WordCount {
    private WordCount() {}

    public static void main(String[] args) throws Exception {
        Properties p = Report.connection();
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, Report.topic("app"));
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        p.put(StreamsConfig.STATE_DIR_CONFIG, args[2]);
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "200");
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
        p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "-1");
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, "2");
        String protocol = System.getenv().getOrDefault("GROUP_PROTOCOL", "");
        if (protocol.equals("streams")) {
            p.put("group.protocol", protocol); // session timeouts are the broker's then
            p.put(StreamsConfig.APPLICATION_SERVER_CONFIG, "localhost:8080");
        } else {
            p.put(StreamsConfig.consumerPrefix("session.timeout.ms"), "10000");
        }
        p.put(StreamsConfig.producerPrefix("transaction.timeout.ms"), "10000");
        // The broker is away for a while: that is waited for.
        p.put(StreamsConfig.producerPrefix("delivery.timeout.ms"), "120000");
        p.put("default.api.timeout.ms", "120000");
        StreamsBuilder b = new StreamsBuilder();
        b.stream(args[0], Consumed.with(Serdes.String(), Serdes.String()))
                .flatMapValues(line -> Arrays.asList(line.toLowerCase(Locale.ROOT).split(" ")))
                .groupBy((k, word) -> word, Grouped.with("words", Serdes.String(), Serdes.String()))
                .count(Materialized.<String, Long, org.apache.kafka.streams.state.KeyValueStore<org.apache.kafka.common.utils.Bytes, byte[]>>as("counts")
                        .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
                .toStream()
                .mapValues(n -> Long.toString(n))
                .to(args[1], Produced.with(Serdes.String(), Serdes.String()));
        KafkaStreams streams = new KafkaStreams(b.build(), p);
        CountDownLatch running = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            System.out.println("state " + now);
            if (now == KafkaStreams.State.RUNNING) {
                running.countDown();
            }
        });
        streams.setUncaughtExceptionHandler(e -> {
            System.out.println("replacing a thread: " + String.valueOf(e).replace('\n', ' '));
            return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.start();
        while (System.in.read() >= 0) {
            // Until the test has seen enough.
        }
        System.out.println("closed " + streams.close(Duration.ofSeconds(30)));
        System.exit(0);
    }
}
