package balancer

// WaveLimits bound the moves that are under way together.
type WaveLimits struct {
	// PerBroker bounds the moves from one broker, and those to one broker.
	PerBroker int
	// Sources bounds the brokers from which one broker gets partitions.
	Sources int
	// TopicShare bounds the share of a topic's partitions; one may always move. PartitionsOf says how many a topic has.
	TopicShare   float64
	PartitionsOf func(topic string) int
}

// DefaultWaveLimits are those of the seed system.
func DefaultWaveLimits(perBroker int, partitionsOf func(string) int) WaveLimits {
	return WaveLimits{PerBroker: perBroker, Sources: 10, TopicShare: 0.5, PartitionsOf: partitionsOf}
}

// NextWave splits moves, in their order, into those that may be under way together and the rest. The wave is empty only if moves is.
func NextWave(moves []Move, l WaveLimits) (wave, rest []Move) {
	from, to := make(map[int32]int), make(map[int32]int)
	topics := make(map[string]int)
	sources := make(map[[2]int32]bool)
	sourcesOf := make(map[int32]int)
	for _, m := range moves {
		pair := [2]int32{m.To, m.From}
		full := from[m.From] >= l.PerBroker || to[m.To] >= l.PerBroker ||
			topics[m.Topic] >= max(1, int(l.TopicShare*float64(l.PartitionsOf(m.Topic)))) ||
			!sources[pair] && sourcesOf[m.To] >= l.Sources
		if full {
			rest = append(rest, m)
			continue
		}
		wave = append(wave, m)
		from[m.From]++
		to[m.To]++
		topics[m.Topic]++
		if !sources[pair] {
			sources[pair] = true
			sourcesOf[m.To]++
		}
	}
	return wave, rest
}
