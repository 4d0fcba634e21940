// Package clients proves with real clients that RingMQ is plain Kafka.
//
//	TestMatrix ──► one node, PLAINTEXT and SASL_SSL ──► a program per client library ──► "ok CHECK" and "sum TOPIC COUNT SUM" lines ──► compared
//
// For each client there is a program that does what its users do and prints what it found, in the lines that PROTOCOL.md describes: java/ (the clients of Kafka
// 3.9 and 4.x), python/ (confluent-kafka, which is librdkafka, and kafka-python), node/ (kafkajs), go/ (franz-go, Sarama, kafka-go; a module of its own, so
// that the product does not depend on them). The test knows which checks each has to print, reads what the programs have written with another client, and
// compares the sums.
//
// The other tests run whole applications, Kafka Streams, Kafka Connect, MirrorMaker, Kafka's verifiable clients, through restarts and kills of the broker; and
// every command line tool of Kafka, with its output beside what Apache Kafka prints for the same commands.
//
// `make test` runs the core of it, which needs Java and kcat; `make test-clients` installs the clients at pinned versions and runs all (RINGMQ_CLIENTS=all).
package clients
