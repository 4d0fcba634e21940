// Package cli is the command line of the multi-call binary ringmq.
//
//	ringmq server start [FILE] [--s3-url=URL] [--override k=v]...   also as kafka-server-start.sh
//	ringmq config print|validate|keys                              what a configuration means, before it is used
//	ringmq bucket create|check                                     the buckets that a configuration names
//	ringmq balancer status|explain|plan|drain|undrain             the balancer of a running cluster
//	ringmq quorum recover                                          a controller whose fellows have lost their disks
//	ringmq version
//	automq-kafka-admin.sh generate-s3-url|generate-start-command|generate-configuration-properties
//
// The name under which the binary is called chooses the command: kafka-server-start.sh and automq-kafka-admin.sh are links to it, and
// understand what the scripts of that name understand. Every error is one line on standard error and exit status 1; a wrong command line
// is exit status 2. Logs go to standard error, results to standard output.
//
// The package holds no process state: arguments, environment, streams and the function that runs a node are in Program, so that tests
// call Main as a process would.
package cli
