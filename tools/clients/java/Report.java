import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import java.util.zip.CRC32;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/** What every program of the matrix is given and prints; tools/clients/PROTOCOL.md says it in words. */
final class Report {
    static final String PREFIX = System.getenv("CLIENT_PREFIX");
    static int failures;

    interface Check {
        void run() throws Exception;
    }

    private Report() {}

    static void check(String name, Check check) {
        try {
            check.run();
            System.out.println("ok " + name);
        } catch (Throwable e) {
            failures++;
            System.out.println("FAIL " + name + ": " + String.valueOf(e).replace('\n', ' '));
            e.printStackTrace();
        }
    }

    static void need(boolean condition, String text) {
        if (!condition) {
            throw new AssertionError(text);
        }
    }

    static String topic(String name) {
        return PREFIX + "-" + name;
    }

    /** The settings that lead to the broker, for clients of any kind. */
    static Properties connection() throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", System.getenv("CLIENT_BOOTSTRAP"));
        if ("sasl_ssl".equals(System.getenv("CLIENT_SECURITY"))) {
            String mechanism = System.getenv("CLIENT_MECHANISM");
            String module = mechanism.equals("PLAIN") ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
            p.put("security.protocol", "SASL_SSL");
            p.put("sasl.mechanism", mechanism);
            p.put("sasl.jaas.config", "org.apache.kafka.common.security." + module + " required username=\""
                    + System.getenv("CLIENT_USER") + "\" password=\"" + System.getenv("CLIENT_PASSWORD") + "\";");
            p.put("ssl.truststore.type", "PEM");
            p.put("ssl.truststore.certificates", Files.readString(Path.of(System.getenv("CLIENT_CA"))));
        }
        return p;
    }

    /** Order does not matter to a sum of records, everything in them does. */
    static final class Sum {
        long count;
        long sum;

        void add(byte[] key, byte[] value, Iterable<Header> headers) {
            CRC32 crc = new CRC32();
            part(crc, key);
            part(crc, value);
            for (Header h : headers) {
                part(crc, h.key().getBytes(StandardCharsets.UTF_8));
                part(crc, h.value());
            }
            count++;
            sum += crc.getValue();
        }

        void add(ConsumerRecord<byte[], byte[]> r) {
            add(r.key(), r.value(), r.headers());
        }

        private static void part(CRC32 crc, byte[] b) {
            crc.update(b == null ? 0 : 1);
            if (b != null) {
                crc.update(b);
            }
            crc.update('\n');
        }

        void print(String topic) {
            System.out.println("sum " + topic + " " + count + " " + sum);
        }

        @Override
        public String toString() {
            return count + " records, sum " + sum;
        }
    }
}
