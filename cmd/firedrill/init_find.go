package main

import (
	"cmp"
	"fmt"
	gobuild "go/build"
	"net"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// candidate is a service that init found or was told of. It has an address if it runs already, and else a command.
type candidate struct {
	name     string
	from     string // where it was found
	command  []string
	env      map[string]string
	address  string            // host:port
	protocol string            // of its address; "" means HTTP
	depends  map[string]string // protocols by dependency
}

// http reports whether the service may answer HTTP requests, as far as is known.
func (c candidate) http() bool { return c.protocol == "" || c.protocol == "http" }

// candidates looks for services in the files of a folder and, if there are none, among the programs that listen on this
// machine. If a compose file has nothing but databases and the like, the programs of a Procfile or a Go module are added. left
// lists what was left out, and why.
func candidates(dir string) (all []candidate, left []string, err error) {
	for _, name := range []string{"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"} {
		if raw, readErr := os.ReadFile(filepath.Join(dir, name)); readErr == nil {
			if all, left, err = fromCompose(name, raw, variables(dir)); err != nil {
				return nil, nil, err
			}
			break
		}
	}
	if !slices.ContainsFunc(all, candidate.http) {
		programs := fromGo(dir)
		if raw, err := os.ReadFile(filepath.Join(dir, "Procfile")); err == nil {
			programs = fromProcfile(string(raw))
		}
		all = append(all, programs...)
	}
	if len(all) == 0 && len(left) == 0 {
		all = fromPorts(process.Listening())
	}
	return withNames(all), left, nil
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// withNames gives each service a name of its own that a system file can have.
func withNames(all []candidate) []candidate {
	taken, renamed := map[string]bool{system.Clients: true}, map[string]string{}
	for i, c := range all {
		base := cmp.Or(strings.Trim(notInName.ReplaceAllString(c.name, "-"), "-"), "service")
		name := base
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		taken[name], renamed[c.name], all[i].name = true, name, name
	}
	for _, c := range all {
		for to, protocol := range c.depends {
			delete(c.depends, to)
			c.depends[renamed[to]] = protocol
		}
	}
	return all
}

// protocolOf guesses the protocol of a container from its image.
func protocolOf(image string) string {
	for _, known := range []struct{ part, protocol string }{{"redis", "redis"}, {"valkey", "redis"}, {"postgres", "postgres"}, {"nats", "nats"}} {
		if strings.Contains(path.Base(image), known.part) {
			return known.protocol
		}
	}
	for _, bytes := range []string{"mysql", "mariadb", "mongo", "kafka", "rabbitmq", "etcd"} {
		if strings.Contains(path.Base(image), bytes) {
			return "tcp"
		}
	}
	return "http"
}

// fromCompose returns the services of a compose file whose ports are published to this machine, and describes the others.
// variables are those of the file's environment.
func fromCompose(file string, raw []byte, variables func(string) string) (all []candidate, left []string, err error) {
	var doc struct {
		Services map[string]struct {
			Image     string `yaml:"image"`
			Ports     []any  `yaml:"ports"`
			DependsOn any    `yaml:"depends_on"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", file, err)
	}
	for name, s := range doc.Services {
		c := candidate{name: name, from: file, protocol: protocolOf(s.Image), depends: map[string]string{}}
		for _, port := range s.Ports {
			if published := publishedPort(port, variables); published != "" && c.address == "" {
				c.address = net.JoinHostPort("127.0.0.1", published)
			}
		}
		if c.address == "" {
			left = append(left, fmt.Sprintf(`left out  %s  (%s): it publishes no TCP port of this machine that is known; write such as ports: ["8080:80"]`, name, file))
			continue
		}
		for _, one := range namesIn(s.DependsOn) {
			c.depends[one] = protocolOf(doc.Services[one].Image)
		}
		all = append(all, c)
	}
	for _, c := range all { // a link needs an address at its other end
		for to := range c.depends {
			if !slices.ContainsFunc(all, func(o candidate) bool { return o.name == to }) {
				delete(c.depends, to)
			}
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return strings.Compare(a.name, b.name) })
	slices.Sort(left)
	return all, left, nil
}

// namesIn returns the names in a value of depends_on: a list, or a mapping from names.
func namesIn(dependsOn any) (names []string) {
	switch d := dependsOn.(type) {
	case []any:
		for _, one := range d {
			names = append(names, fmt.Sprint(one))
		}
	case map[string]any:
		for one := range d {
			names = append(names, one)
		}
	}
	return names
}

// publishedPort returns the port of this machine in an entry of ports: "8080:80", "127.0.0.1:8080:80/tcp", or a mapping. It
// returns "" if there is none, or if it is chosen at each start.
func publishedPort(entry any, variables func(string) string) string {
	var port string
	switch e := entry.(type) {
	case string:
		parts := strings.Split(strings.TrimSuffix(interpolate(e, variables), "/tcp"), ":")
		if len(parts) < 2 || strings.Contains(e, "/udp") {
			return ""
		}
		if port = parts[len(parts)-2]; strings.Contains(parts[len(parts)-1], "-") { // as many ports as the container has: the first one
			port, _, _ = strings.Cut(port, "-")
		}
	case map[string]any:
		if e["protocol"] == "udp" {
			return ""
		}
		port = interpolate(fmt.Sprint(e["published"]), variables)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return ""
	}
	return port
}

var composeVariable = regexp.MustCompile(`\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})`)

// interpolate replaces the variables in a value of a compose file: $PORT, ${PORT} and ${PORT:-8080}.
func interpolate(text string, variables func(string) string) string {
	return composeVariable.ReplaceAllStringFunc(text, func(found string) string {
		m := composeVariable.FindStringSubmatch(found)
		return cmp.Or(variables(m[1]+m[2]), m[3])
	})
}

// variables returns the values of the variables of compose files in a folder: those of the environment and, after them, of the
// file .env.
func variables(dir string) func(name string) string {
	file := map[string]string{}
	raw, _ := os.ReadFile(filepath.Join(dir, ".env"))
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok {
			file[strings.TrimSpace(name)] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return func(name string) string { return cmp.Or(os.Getenv(name), file[name]) }
}

var (
	procfileLine = regexp.MustCompile(`^([A-Za-z0-9_-]+):\s*(.+)$`)
	// ofSystemFile begins like a placeholder of a system file. A variable of the shell needs no braces before a blank or quote.
	ofSystemFile = regexp.MustCompile(`\$\{(?:(PORT)(?::?-[^}]*)?|(\w+))\}(\W|$)`)
	forTheShell  = regexp.MustCompile("[\"'`|;<>&\\\\$*~(){}=]")
	manyCommands = regexp.MustCompile(`[|;&]|^\w+=`)
)

// fromProcfile returns the processes of a Procfile, without the command that prepares a release. They get their port in PORT, as
// usual there.
func fromProcfile(text string) (all []candidate) {
	for line := range strings.Lines(text) {
		m := procfileLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil || m[1] == "release" {
			continue
		}
		c := candidate{name: m[1], from: "Procfile", command: strings.Fields(m[2]), env: map[string]string{"PORT": "${port}"}}
		if forTheShell.MatchString(m[2]) {
			command := ofSystemFile.ReplaceAllString(m[2], "$$$1$2$3")
			if !manyCommands.MatchString(command) {
				command = "exec " + command // so that the shell does not stay as its parent
			}
			c.command = []string{"sh", "-c", command}
		}
		all = append(all, c)
	}
	return all
}

// fromGo returns the main packages of a module: that of its folder, and those in cmd.
func fromGo(dir string) (all []candidate) {
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return nil
	}
	dirs, _ := filepath.Glob(filepath.Join(dir, "cmd", "*"))
	for _, d := range append([]string{dir}, dirs...) {
		if p, err := gobuild.ImportDir(d, 0); err != nil || p.Name != "main" {
			continue
		}
		rel, _ := filepath.Rel(dir, d)
		abs, _ := filepath.Abs(d)
		all = append(all, candidate{name: filepath.Base(abs), from: "go.mod", command: []string{"go", "run", "./" + filepath.ToSlash(rel)},
			env: map[string]string{"PORT": "${port}", "ADDR": "127.0.0.1:${port}"}})
	}
	return all
}

// fromPorts returns the programs that listen on this machine.
func fromPorts(listeners []process.Listener) (all []candidate) {
	for _, l := range listeners {
		script := l.Program
		if words := strings.Fields(script); len(words) > 0 {
			script = words[len(words)-1] // of "python3 app.py"
		}
		name := strings.TrimSuffix(script, filepath.Ext(script))
		if slices.ContainsFunc(all, func(c candidate) bool { return c.name == name }) {
			name = fmt.Sprintf("%s-%d", name, l.Port)
		}
		all = append(all, candidate{name: name, from: "a port of this machine", address: net.JoinHostPort("127.0.0.1", strconv.Itoa(int(l.Port)))})
	}
	return all
}
