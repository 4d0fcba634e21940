package kraft

// Kafka's error codes, as far as a controller answers with them.
const (
	kafkaUnknownServerError      int16 = -1
	kafkaUnknownTopic            int16 = 3
	kafkaNotLeader               int16 = 6
	kafkaRequestTimedOut         int16 = 7
	kafkaInvalidTopic            int16 = 17
	kafkaUnsupportedMechanism    int16 = 33
	kafkaUnsupportedVersion      int16 = 35
	kafkaTopicExists             int16 = 36
	kafkaInvalidPartitions       int16 = 37
	kafkaInvalidReplication      int16 = 38
	kafkaInvalidAssignment       int16 = 39
	kafkaInvalidConfig           int16 = 40
	kafkaNotController           int16 = 41
	kafkaInvalidRequest          int16 = 42
	kafkaPolicyViolation         int16 = 44
	kafkaTokensDisabled          int16 = 61
	kafkaTokenNotFound           int16 = 62
	kafkaTokenOwnerMismatch      int16 = 63
	kafkaTokenNotAllowed         int16 = 64
	kafkaTokenExpired            int16 = 66
	kafkaInvalidPrincipalType    int16 = 67
	kafkaTopicDeletionDisabled   int16 = 73
	kafkaStaleBrokerEpoch        int16 = 77
	kafkaPreferredNotAvailable   int16 = 80
	kafkaEligibleNotAvailable    int16 = 83
	kafkaElectionNotNeeded       int16 = 84
	kafkaNoReassignment          int16 = 85
	kafkaThrottlingQuotaExceeded int16 = 89
	kafkaResourceNotFound        int16 = 91
	kafkaDuplicateResource       int16 = 92
	kafkaUnacceptable            int16 = 93
	kafkaInvalidUpdate           int16 = 95
	kafkaUnknownTopicID          int16 = 100
	kafkaDuplicateRegistration   int16 = 101
	kafkaBrokerNotRegistered     int16 = 102
	kafkaInconsistentClusterID   int16 = 104
	kafkaInvalidRegistration     int16 = 119
	kafkaMismatchedEndpoint      int16 = 114
	kafkaUnsupportedEndpoint     int16 = 115
	kafkaDuplicateVoter          int16 = 126
	kafkaVoterNotFound           int16 = 127
)

// kafkaError is a refusal with Kafka's code.
type kafkaError struct {
	code int16
	text string
}

// message is the text for a response's nullable field: null when there was no error, or nothing to say of it.
func (e kafkaError) message() *string {
	if e.code == 0 || e.text == "" {
		return nil
	}
	return &e.text
}

// Error makes a refusal an error, where it has to pass through code that knows only errors.
func (e *kafkaError) Error() string { return e.text }
