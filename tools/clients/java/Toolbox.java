import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command line tools one after the other in one virtual machine. A line on standard input is a command: its class, what it gets on standard
 * input, and its arguments, each in Base64, with blanks between them. The answer is a line: the exit status, and its output and its error output in Base64.
 */
public final class Toolbox {
    private static final class Exited extends RuntimeException {
        Exited() {
            super(null, null, false, false);
        }
    }

    private static final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private static final ByteArrayOutputStream err = new ByteArrayOutputStream();
    private static Integer ended; // the status with which the tool wanted to end the virtual machine
    private static int length; // of its output then
    private static int errorLength;

    private Toolbox() {}

    public static void main(String[] args) throws Exception {
        PrintStream answers = new PrintStream(new FileOutputStream(FileDescriptor.out), true);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        InputStream nothing = new ByteArrayInputStream(new byte[0]);
        Exit.Procedure end = (status, message) -> {
            // Some tools catch everything, this too, and end once more with another status and more text: the first time counts.
            if (ended == null) {
                ended = status;
                System.out.flush();
                System.err.flush();
                length = out.size();
                errorLength = err.size();
            }
            throw new Exited();
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = Arrays.stream(line.split(" ", -1)).map(Toolbox::decode).toArray(String[]::new);
            out.reset();
            err.reset();
            ended = null;
            System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
            System.setIn(new ByteArrayInputStream(words[1].getBytes(StandardCharsets.UTF_8)));
            int status = run(words[0], Arrays.copyOfRange(words, 2, words.length));
            System.setIn(nothing);
            System.out.flush();
            System.err.flush();
            if (ended == null) {
                length = out.size();
                errorLength = err.size();
            }
            answers.println((ended == null ? status : ended) + " " + encode(Arrays.copyOf(out.toByteArray(), length)) + " "
                    + encode(Arrays.copyOf(err.toByteArray(), errorLength)));
        }
        Runtime.getRuntime().halt(0);
    }

    private static int run(String name, String[] args) {
        try {
            // Scala's console remembers the streams that were there first.
            return scala(() -> {
                Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) args);
                return 0;
            });
        } catch (InvocationTargetException e) {
            e.getCause().printStackTrace();
            return 1;
        } catch (Exception e) {
            e.printStackTrace();
            return 1;
        }
    }

    private static int scala(java.util.concurrent.Callable<Integer> body) throws Exception {
        Exception[] thrown = new Exception[1];
        int status = (Integer) scala.Console.withOut(System.out, () -> scala.Console.withErr(System.err, () -> {
            try {
                return body.call();
            } catch (Exception e) {
                thrown[0] = e;
                return 1;
            }
        }));
        if (thrown[0] != null) {
            throw thrown[0];
        }
        return status;
    }

    private static String decode(String s) {
        return new String(Base64.getDecoder().decode(s), StandardCharsets.UTF_8);
    }

    private static String encode(byte[] b) {
        return Base64.getEncoder().encodeToString(b);
    }
}
