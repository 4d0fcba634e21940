package quota

// Kind is what a quota is about.
type Kind int

const (
	Produce  Kind = iota // bytes of Produce requests, per second
	Fetch                // bytes of Fetch responses, per second
	Request              // percent of one processor that serving requests takes
	Mutation             // partitions that are created or deleted, per second
	kinds
)

// Keys are Kafka's names of the quotas, by kind.
var Keys = [kinds]string{"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"}

// String is Kafka's name of the kind's metrics.
func (k Kind) String() string {
	return [kinds]string{"Produce", "Fetch", "Request", "ControllerMutation"}[k]
}

// Part is one half of an entity.
type Part struct {
	Given bool   // the entity has this half
	All   bool   // it is the default for everybody
	Name  string // otherwise, for this one
}

// Named is the part of one name, Everybody the default, and None says that the entity has no such half.
func Named(name string) Part { return Part{Given: true, Name: name} }

var (
	Everybody = Part{Given: true, All: true}
	None      = Part{}
)

// Entity is whom a quota is for.
type Entity struct{ User, Client Part }

// Table holds the limits. It is immutable.
type Table struct {
	manager *Manager
	limits  [kinds]map[Entity]float64
}

// limit finds the limit that counts for a client, and what it shares a meter with: Kafka's order, the most particular first.
func (t *Table) limit(kind Kind, user, client string) (limit float64, tag Tag, ok bool) {
	limits := t.limits[kind]
	if len(limits) == 0 {
		return 0, Tag{}, false
	}
	both, userOnly, clientOnly := Tag{kind, user, client}, Tag{kind, user, ""}, Tag{kind, "", client}
	for _, place := range [...]struct {
		entity Entity
		tag    Tag
	}{
		{Entity{Named(user), Named(client)}, both},
		{Entity{Named(user), Everybody}, both},
		{Entity{Named(user), None}, userOnly},
		{Entity{Everybody, Named(client)}, both},
		{Entity{Everybody, Everybody}, both},
		{Entity{Everybody, None}, userOnly},
		{Entity{None, Named(client)}, clientOnly},
		{Entity{None, Everybody}, clientOnly},
	} {
		if limit, ok := limits[place.entity]; ok {
			return limit, place.tag, true
		}
	}
	return 0, Tag{}, false
}

// Client is what counts for a user's connection with a client id.
func (t *Table) Client(user, clientID string) *Client {
	c := &Client{table: t, user: user, id: clientID}
	for kind := range kinds {
		if limit, tag, ok := t.limit(kind, user, clientID); ok {
			c.meters[kind] = t.manager.meter(t, tag, limit)
		}
	}
	return c
}

// Client is a user with a client id under one table.
type Client struct {
	table    *Table
	user, id string
	meters   [kinds]*meter // nil: no limit
}

// Is reports whether this is what Table.Client would return. clientID is not kept.
func (c *Client) Is(t *Table, user string, clientID []byte) bool {
	return c != nil && c.table == t && c.user == user && c.id == string(clientID)
}

// Limited reports whether a kind has a limit.
func (c *Client) Limited(kind Kind) bool { return c != nil && c.meters[kind] != nil }
