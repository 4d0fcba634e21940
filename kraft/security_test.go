package kraft

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func creation(kind kmsg.ACLResourceType, p kmsg.ACLResourcePatternType, name, principal string, op kmsg.ACLOperation, perm kmsg.ACLPermissionType) kmsg.CreateACLsRequestCreation {
	return kmsg.CreateACLsRequestCreation{ResourceType: kind, ResourceName: name, ResourcePatternType: p, Principal: principal, Host: "*", Operation: op, PermissionType: perm}
}

func (h *harness) acls() (all []ACL) {
	EveryACL(h.image(), func(a ACL) bool {
		all = append(all, a)
		return true
	})
	return all
}

func TestACLs(t *testing.T) {
	const (
		topic, cluster    = kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeCluster
		literal, prefixed = kmsg.ACLResourcePatternTypeLiteral, kmsg.ACLResourcePatternTypePrefixed
		read, allow       = kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow
	)
	h := kafkaHarness(t)
	req := kmsg.NewPtrCreateACLsRequest()
	good := []kmsg.CreateACLsRequestCreation{
		creation(topic, literal, "orders", "User:ann with spaces", read, allow),
		creation(topic, literal, "orders", "User:ben", read, kmsg.ACLPermissionTypeDeny),
		creation(topic, prefixed, "or", "User:ann", read, allow),
		creation(topic, literal, "*", "User:*", kmsg.ACLOperationDescribe, allow),
		creation(cluster, literal, ClusterResource, "User:ann", kmsg.ACLOperationAll, allow),
		creation(topic, literal, "orders", "User:ben", read, kmsg.ACLPermissionTypeDeny), // again
	}
	bad := []kmsg.CreateACLsRequestCreation{
		creation(kmsg.ACLResourceTypeAny, literal, "x", "User:a", read, allow),
		creation(topic, kmsg.ACLResourcePatternTypeMatch, "x", "User:a", read, allow),
		creation(topic, literal, "", "User:a", read, allow),
		creation(topic, literal, "x", "a", read, allow),
		creation(topic, literal, "x", "User:a", kmsg.ACLOperationAny, allow),
		creation(topic, literal, "x", "User:a", read, kmsg.ACLPermissionTypeAny),
		creation(cluster, literal, "other", "User:a", read, allow),
	}
	req.Creations = append(append(req.Creations, good...), bad...)
	for i, r := range h.do(req).(*kmsg.CreateACLsResponse).Results {
		want := int16(0)
		if i >= len(good) {
			want = kafkaInvalidRequest
		}
		if r.ErrorCode != want || (r.ErrorMessage == nil) != (want == 0) {
			t.Errorf("creation %d: %+v, want code %d", i, r, want)
		}
	}
	if n := len(h.acls()); n != 5 {
		t.Fatalf("%d entries, want 5: %v", n, h.acls())
	}

	orders := "orders"
	del := kmsg.NewPtrDeleteACLsRequest()
	del.Filters = []kmsg.DeleteACLsRequestFilter{
		{ResourceType: topic, ResourceName: &orders, ResourcePatternType: kmsg.ACLResourcePatternTypeMatch, Operation: kmsg.ACLOperationAny, PermissionType: kmsg.ACLPermissionTypeAny},
		{ResourceType: topic, ResourceName: &orders, ResourcePatternType: literal, Operation: read, PermissionType: kmsg.ACLPermissionTypeAny},
		{ResourceType: topic, ResourcePatternType: 77},
	}
	resp := h.do(del).(*kmsg.DeleteACLsResponse)
	if a, b := len(resp.Results[0].MatchingACLs), len(resp.Results[1].MatchingACLs); a != 4 || b != 2 || resp.Results[2].ErrorCode != kafkaInvalidRequest {
		t.Errorf("matched %d and %d, want 4 and 2; the bad filter: %d", a, b, resp.Results[2].ErrorCode)
	}
	left := h.acls()
	if len(left) != 1 || left[0].Resource != cluster {
		t.Errorf("left are %v", left)
	}
}

func TestScramCredentials(t *testing.T) {
	h := kafkaHarness(t)
	salt := []byte("salt")
	up := func(user string, m ScramMechanism, iterations int32) kmsg.AlterUserSCRAMCredentialsRequestUpsertion {
		password, err := pbkdf2.Key(sha256.New, "pencil", salt, int(iterations), 32)
		if err != nil {
			t.Fatal(err)
		}
		return kmsg.AlterUserSCRAMCredentialsRequestUpsertion{Name: user, Mechanism: int8(m), Iterations: iterations, Salt: salt, SaltedPassword: password}
	}
	req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	req.Upsertions = []kmsg.AlterUserSCRAMCredentialsRequestUpsertion{
		up("ann", ScramSHA256, 4096), up("ann", ScramSHA512, 8192), up("few", ScramSHA256, 4095), up("many", ScramSHA256, 16385), up("", ScramSHA256, 4096),
		up("odd", 3, 4096), up("twice", ScramSHA256, 4096), up("twice", ScramSHA256, 4096), up("half", ScramSHA256, 4096), up("half", ScramSHA512, 1),
	}
	req.Deletions = []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: "nobody", Mechanism: 1}}
	want := map[string]int16{"ann": 0, "few": kafkaUnacceptable, "many": kafkaUnacceptable, "": kafkaUnacceptable, "odd": kafkaUnsupportedMechanism,
		"twice": kafkaDuplicateResource, "half": kafkaUnacceptable, "nobody": kafkaResourceNotFound}
	have := make(map[string]int16)
	for _, r := range h.do(req).(*kmsg.AlterUserSCRAMCredentialsResponse).Results {
		have[r.User] = r.ErrorCode
	}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("codes %v, want %v", have, want)
	}
	img := h.image()
	for _, user := range []string{"few", "twice", "half", "nobody"} {
		if _, ok := Scram(img, user, ScramSHA256); ok {
			t.Errorf("%s has a credential", user)
		}
	}
	c, ok := Scram(img, "ann", ScramSHA256)
	if !ok || c.Iterations != 4096 || string(c.Salt) != "salt" || len(c.StoredKey) != 32 || len(c.ServerKey) != 32 {
		t.Errorf("ann has %+v, %t", c, ok)
	}
	var users []string
	ScramUsers(img, func(u string) bool {
		users = append(users, u)
		return true
	})
	if !reflect.DeepEqual(users, []string{"ann"}) {
		t.Errorf("users %v", users)
	}
	del := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	del.Deletions = []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: "ann", Mechanism: int8(ScramSHA256)}}
	h.do(del)
	if _, ok := Scram(h.image(), "ann", ScramSHA256); ok {
		t.Error("the credential is still there")
	}
	if _, ok := Scram(h.image(), "ann", ScramSHA512); !ok {
		t.Error("the other mechanism's credential has gone as well")
	}
}

func TestQuotas(t *testing.T) {
	h := kafkaHarness(t)
	type part = kmsg.AlterClientQuotasRequestEntryEntity
	type op = kmsg.AlterClientQuotasRequestEntryOp
	odd := "a&b=c d"
	for _, c := range []struct {
		what     string
		entity   []part
		ops      []op
		validate bool
		code     int16
	}{
		{"user", []part{{Type: QuotaUser, Name: ptr(odd)}}, []op{{Key: "producer_byte_rate", Value: 1000}, {Key: "request_percentage", Value: 12.5}}, false, 0},
		{"user and default client", []part{{Type: QuotaClientID}, {Type: QuotaUser, Name: ptr("u")}}, []op{{Key: "consumer_byte_rate", Value: 7}}, false, 0},
		{"address", []part{{Type: QuotaIP, Name: ptr("10.0.0.1")}}, []op{{Key: "connection_creation_rate", Value: 3}}, false, 0},
		{"only checked", []part{{Type: QuotaUser, Name: ptr("v")}}, []op{{Key: "consumer_byte_rate", Value: 7}}, true, 0},
		{"nobody", nil, nil, false, kafkaInvalidRequest},
		{"unknown type", []part{{Type: "group"}}, nil, false, kafkaInvalidRequest},
		{"address and user", []part{{Type: QuotaIP}, {Type: QuotaUser}}, nil, false, kafkaInvalidRequest},
		{"no address", []part{{Type: QuotaIP, Name: ptr("here")}}, nil, false, kafkaInvalidRequest},
		{"unknown key", []part{{Type: QuotaUser}}, []op{{Key: "x", Value: 1}}, false, kafkaInvalidRequest},
		{"an address's key", []part{{Type: QuotaUser}}, []op{{Key: "connection_creation_rate", Value: 1}}, false, kafkaInvalidRequest},
		{"zero", []part{{Type: QuotaUser}}, []op{{Key: "producer_byte_rate", Value: 0}}, false, kafkaInvalidRequest},
		{"fraction", []part{{Type: QuotaUser}}, []op{{Key: "producer_byte_rate", Value: 1.5}}, false, kafkaInvalidRequest},
		{"twice", []part{{Type: QuotaUser}}, []op{{Key: "producer_byte_rate", Value: 1}, {Key: "producer_byte_rate", Value: 2}}, false, kafkaInvalidRequest},
		{"removed", []part{{Type: QuotaUser, Name: ptr(odd)}}, []op{{Key: "producer_byte_rate", Remove: true}, {Key: "consumer_byte_rate", Remove: true}}, false, 0},
	} {
		req := kmsg.NewPtrAlterClientQuotasRequest()
		req.ValidateOnly = c.validate
		req.Entries = []kmsg.AlterClientQuotasRequestEntry{{Entity: c.entity, Ops: c.ops}}
		if r := h.do(req).(*kmsg.AlterClientQuotasResponse).Entries[0]; r.ErrorCode != c.code {
			t.Errorf("%s: %d, want %d", c.what, r.ErrorCode, c.code)
		}
	}
	type found struct {
		user, client, ip string
		values           map[string]float64
	}
	show := func(e QuotaEntity, kind string) string {
		name, ok := e[kind]
		switch {
		case !ok:
			return "-"
		case name == nil:
			return "default"
		}
		return *name
	}
	var all []found
	Quotas(h.image(), func(e QuotaEntity, v map[string]float64) bool {
		all = append(all, found{show(e, QuotaUser), show(e, QuotaClientID), show(e, QuotaIP), v})
		return true
	})
	want := []found{
		{"u", "default", "-", map[string]float64{"consumer_byte_rate": 7}},
		{"-", "-", "10.0.0.1", map[string]float64{"connection_creation_rate": 3}},
		{odd, "-", "-", map[string]float64{"request_percentage": 12.5}},
	}
	if !reflect.DeepEqual(all, want) {
		t.Errorf("quotas %v, want %v", all, want)
	}
}
