package kraft

// Kafka's error codes, as far as a controller answers with them.
const (
	kafkaUnknownServerError    int16 = -1
	kafkaUnknownTopic          int16 = 3
	kafkaNotLeader             int16 = 6
	kafkaRequestTimedOut       int16 = 7
	kafkaInvalidTopic          int16 = 17
	kafkaUnsupportedVersion    int16 = 35
	kafkaTopicExists           int16 = 36
	kafkaInvalidPartitions     int16 = 37
	kafkaInvalidReplication    int16 = 38
	kafkaInvalidAssignment     int16 = 39
	kafkaInvalidConfig         int16 = 40
	kafkaNotController         int16 = 41
	kafkaInvalidRequest        int16 = 42
	kafkaPolicyViolation       int16 = 44
	kafkaTopicDeletionDisabled int16 = 73
	kafkaStaleBrokerEpoch      int16 = 77
	kafkaUnknownTopicID        int16 = 100
	kafkaBrokerNotRegistered   int16 = 102
	kafkaInconsistentClusterID int16 = 104
	kafkaInvalidRegistration   int16 = 119
)

// kafkaError is a refusal with Kafka's code.
type kafkaError struct {
	code int16
	text string
}

// message is the text for a response's nullable field: null when there was no error.
func (e kafkaError) message() *string {
	if e.code == 0 {
		return nil
	}
	return &e.text
}
