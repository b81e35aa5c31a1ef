package runner

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// A client that a server sends to the address of a service leaves the links, and no fault acts on its connections. Each
// front here also uses its link, so that the fault acts on something.
func TestAddressesToldByServers(t *testing.T) {
	for program, pkg := range map[string]string{"redis-server": "redis-server", "etcd": "etcd-server"} {
		_, err := exec.LookPath(program)
		machine.Need(t, err, "apt-get install "+pkg)
	}
	t.Parallel()
	for name, row := range map[string]struct {
		system, fault, told string
		client              func(t *testing.T, s *System) func(ctx context.Context) error // returns what makes one request
	}{
		"a redirect": {toldHTTP, `calls from "front" to "data" are delayed by 20ms`, `"first" told "front" the address ADDRESS`, redirected("/")},
		"sentinel":   {toldSentinel, `messages from "front" to "data" are delayed by 20ms`, `"first" told "front" the address ADDRESS`, failover},
		"a cluster":  {toldCluster, `messages from "front" to "data" are delayed by 20ms`, `"data" told "front" the address ADDRESS`, cluster},
		"members":    {toldMembers, `calls from "front" to "data" are delayed by 20ms`, `"data" told "front" the address ADDRESS`, members},
		"members by the gateway": {strings.Replace(toldMembers, "data: grpc", "data: http", 1), `calls from "front" to "data" are delayed by 20ms`,
			`"data" told "front" the address ADDRESS`, membersByGateway},
		"an answer that cannot be read": {toldHTTP, `calls from "front" to "data" are delayed by 20ms`,
			`"first" told "front" addresses of servers in an answer that the link cannot read (its encoding is "br")`, redirected("/v1/catalog/service/data")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var data atomic.Pointer[string]
			var ask atomic.Pointer[func(context.Context) error]
			front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := (*ask.Load())(r.Context()); err != nil {
					http.Error(w, err.Error(), http.StatusBadGateway)
				}
			})
			handlers := map[string]http.Handler{"front": front}
			if row.system == toldHTTP {
				handlers["data"] = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
				handlers["first"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/" { // a catalogue
						w.Header().Set("Content-Encoding", "br")
						return
					}
					http.Redirect(w, r, "http://"+*data.Load()+"/", http.StatusTemporaryRedirect)
				})
			}
			r, err := Run(t.Context(), Options{
				FS: fstest.MapFS{"system.yaml": {Data: []byte(row.system)}, "a.feature": {Data: []byte(`Feature: A
  Scenario: S
    Given the system described in "system.yaml"
    And the client is made
    And a steady load of 50 requests per second on "GET /"
    And a baseline is measured for 1s
    When ` + row.fault + ` for 1s
    Then at least 90% of requests succeed during the fault
`)}}, Paths: []string{"a.feature"}, Seed: 7, Dir: t.TempDir(), Handlers: handlers,
				Steps: []Step{{`^the client is made$`, func(ctx context.Context) error {
					s := FromContext(ctx)
					address := s.Address("data")
					data.Store(&address)
					f := row.client(t, s)
					ask.Store(&f)
					return nil
				}}},
			})
			require.NoError(t, err)
			h := r.Book.Scenarios[0]
			require.Len(t, h.Troubles, 1, "each address is reported once")
			assert.Contains(t, h.Troubles[0], strings.ReplaceAll(row.told, "ADDRESS", *data.Load()+` of "data", which leads around the links`))
			assert.Equal(t, "inconclusive", h.End.Outcome)
		})
	}
}

// redirected asks for the path at both servers, and goes where it is redirected.
func redirected(path string) func(t *testing.T, s *System) func(context.Context) error {
	return func(_ *testing.T, s *System) func(context.Context) error {
		links := []string{s.Link("front", "data"), s.Link("front", "first")}
		return func(ctx context.Context) error {
			for _, link := range links {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+link+path, nil)
				if err != nil {
					return err
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					return err
				}
				if err := resp.Body.Close(); err != nil {
					return err
				}
			}
			return nil
		}
	}
}

// throughBoth counts with a client of the link, and with one that goes where it is told.
func throughBoth(t *testing.T, s *System, guided redis.UniversalClient) func(context.Context) error {
	linked := redis.NewClient(&redis.Options{Addr: s.Link("front", "data")})
	t.Cleanup(func() { assert.NoError(t, linked.Close()); assert.NoError(t, guided.Close()) })
	return func(ctx context.Context) error {
		if err := linked.Incr(ctx, "hits").Err(); err != nil {
			return err
		}
		return guided.Incr(ctx, "hits").Err()
	}
}

func failover(t *testing.T, s *System) func(context.Context) error {
	return throughBoth(t, s, redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "it", SentinelAddrs: []string{s.Link("front", "first")}}))
}

func cluster(t *testing.T, s *System) func(context.Context) error {
	direct := redis.NewClient(&redis.Options{Addr: s.Address("data")})
	defer direct.Close()
	require.NoError(t, direct.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	require.Eventually(t, func() bool { return direct.Incr(t.Context(), "hits").Err() == nil }, 20*time.Second, 200*time.Millisecond, "the cluster is up")
	return throughBoth(t, s, redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Link("front", "data")}}))
}

// members asks etcd for its members, as clients that synchronize their endpoints do, and then the first of them.
func members(t *testing.T, s *System) func(context.Context) error {
	dial := func(address string) *grpc.ClientConn {
		c, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(unparsed{})))
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, c.Close()) })
		return c
	}
	list := func(ctx context.Context, c *grpc.ClientConn) ([]byte, error) {
		var got []byte
		return got, c.Invoke(ctx, "/etcdserverpb.Cluster/MemberList", &[]byte{}, &got)
	}
	linked := dial(s.Link("front", "data"))
	told, err := list(t.Context(), linked)
	require.NoError(t, err)
	url := regexp.MustCompile(`http://([0-9.:]+)`).FindAllSubmatch(told, -1)
	require.NotEmpty(t, url)
	guided := dial(string(url[len(url)-1][1])) // client URLs come after those for peers
	return func(ctx context.Context) error {
		if _, err := list(ctx, linked); err != nil {
			return err
		}
		_, err := list(ctx, guided)
		return err
	}
}

// membersByGateway asks the gateway of etcd, which speaks JSON.
func membersByGateway(t *testing.T, s *System) func(context.Context) error {
	list := func(ctx context.Context, server string) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/v3/cluster/member/list", strings.NewReader("{}"))
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	}
	linked := "http://" + s.Link("front", "data")
	text, err := list(t.Context(), linked)
	require.NoError(t, err)
	var told struct {
		Members []struct {
			ClientURLs []string `json:"clientURLs"`
		} `json:"members"`
	}
	require.NoError(t, json.Unmarshal(text, &told), "%s", text)
	require.NotEmpty(t, told.Members)
	require.NotEmpty(t, told.Members[0].ClientURLs)
	return func(ctx context.Context) error {
		if _, err := list(ctx, linked); err != nil {
			return err
		}
		_, err := list(ctx, told.Members[0].ClientURLs[0])
		return err
	}
}

// unparsed is a codec of gRPC that leaves messages as they are.
type unparsed struct{}

func (unparsed) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (unparsed) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = slices.Clone(data)
	return nil
}

func (unparsed) Name() string { return "proto" }

const (
	toldMembers = `
services:
  front: {address: "127.0.0.1:1", serves: [/], depends: {data: grpc}}
  data:
    command: [etcd, --data-dir, "${dir}/data", --listen-client-urls, "http://127.0.0.1:${port}", --advertise-client-urls, "http://127.0.0.1:${port}",
      --listen-peer-urls, "http://127.0.0.1:${port:peers}", --initial-advertise-peer-urls, "http://127.0.0.1:${port:peers}", --initial-cluster, "default=http://127.0.0.1:${port:peers}"]
    ready: {http: /health, within: 30s}
`
	toldHTTP = `
services:
  front: {address: "127.0.0.1:1", serves: [/], depends: {first: http, data: http}}
  first: {address: "127.0.0.1:1"}
  data: {address: "127.0.0.1:1"}
`
	toldSentinel = `
services:
  front: {address: "127.0.0.1:1", serves: [/], depends: {first: redis, data: redis}}
  first:
    command: [sh, -c, 'echo "sentinel monitor it $(echo "$2" | tr : " ") 1" >"$1/s.conf" && exec redis-server "$1/s.conf" --sentinel --bind 127.0.0.1 --port "$0"', "${port}", "${dir}", "${address:data}"]
    ready: {line: "monitor master", within: 30s}
  data:
    command: [redis-server, --bind, "127.0.0.1", --port, "${port}", --dir, "${dir}", --save, "", --appendonly, "no"]
    ready: {line: Ready to accept connections, within: 30s}
`
	toldCluster = `
services:
  front: {address: "127.0.0.1:1", serves: [/], depends: {data: redis}}
  data:
    command: [redis-server, --bind, "127.0.0.1", --port, "${port}", --cluster-port, "${port:bus}", --cluster-enabled, "yes", --dir, "${dir}", --save, "", --appendonly, "no"]
    ready: {line: Ready to accept connections, within: 30s}
`
)

func TestContains(t *testing.T) {
	for text, found := range map[string]bool{
		"-MOVED 3999 127.0.0.1:6381\r\n":                           true,
		"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6381\r\n":                  true,
		"localhost:6381":                                           true,
		"127.0.0.1:6381@16381 myself,master":                       true,
		"127.0.0.1:16381":                                          false,
		"127.0.0.11:6381":                                          false,
		"10.127.0.0.1:6381":                                        false,
		"-MOVED 3999 10.0.0.1:6381\r\n":                            false,
		"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n63810\r\n":                 false,
		"+switch-master it 127.0.0.1 17380 127.0.0.1 6381":         true,
		"+switch-master it 127.0.0.1 17380 127.0.0.1 6382":         false,
		"*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:6381\r\n": true,
	} {
		assert.Equal(t, found, contains([]byte(text), "127.0.0.1:6381"), text)
	}
}
