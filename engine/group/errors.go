package group

import (
	"errors"

	"github.com/ringmq/ringmq/engine/shards"
)

var (
	// ErrNotCoordinator: the partition of __consumer_offsets is not led by this node, or not any more.
	ErrNotCoordinator = errors.New("group: not the coordinator")
	// ErrTooLarge: the log refuses a batch because of its size.
	ErrTooLarge = errors.New("group: record batch too large")
	// ErrFenced: a newer instance of the transactional producer has written to the partition.
	ErrFenced = errors.New("group: producer fenced")
	// ErrNotInTxn: the producer has no open transaction that the partition is part of.
	ErrNotInTxn = errors.New("group: not part of a transaction")
	// ErrStaleEpoch: Load was called with a leader epoch that is not newer than the one already loaded.
	ErrStaleEpoch = shards.ErrStaleEpoch
	// ErrClosed: the coordinator is closed.
	ErrClosed = shards.ErrClosed
)

// Error codes of the Kafka protocol that this package answers with.
const (
	codeNone                    int16 = 0
	codeUnknownServerError      int16 = -1
	codeUnknownTopicOrPartition int16 = 3
	codeOffsetMetadataTooLarge  int16 = 12
	codeCoordinatorLoading      int16 = 14
	codeCoordinatorNotAvailable int16 = 15
	codeNotCoordinator          int16 = 16
	codeIllegalGeneration       int16 = 22
	codeInconsistentProtocol    int16 = 23
	codeInvalidGroupID          int16 = 24
	codeUnknownMemberID         int16 = 25
	codeInvalidSessionTimeout   int16 = 26
	codeRebalanceInProgress     int16 = 27
	codeInvalidCommitOffsetSize int16 = 28
	codeInvalidRequest          int16 = 42
	codeInvalidProducerEpoch    int16 = 47
	codeInvalidTxnState         int16 = 48
	codeNonEmptyGroup           int16 = 68
	codeGroupIDNotFound         int16 = 69
	codeMemberIDRequired        int16 = 79
	codeGroupMaxSizeReached     int16 = 81
	codeFencedInstanceID        int16 = 82
	codeGroupSubscribedToTopic  int16 = 86
	codeUnstableOffsetCommit    int16 = 88
	codeUnknownTopicID          int16 = 100
)

// appendCode is the error code for a change whose records could not be appended. All but tooLarge make clients find the
// coordinator again and retry; what was not acknowledged may or may not have reached the log, as with any lost reply.
func appendCode(err error, tooLarge int16) int16 {
	switch {
	case err == nil:
		return codeNone
	case errors.Is(err, ErrNotCoordinator):
		return codeNotCoordinator
	case errors.Is(err, ErrTooLarge):
		return tooLarge
	case errors.Is(err, ErrFenced):
		return codeInvalidProducerEpoch
	case errors.Is(err, ErrNotInTxn):
		return codeInvalidTxnState
	default:
		return codeCoordinatorNotAvailable
	}
}
