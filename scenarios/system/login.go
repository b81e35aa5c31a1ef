package system

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// loginVariable matches an environment variable in a login.
var loginVariable = regexp.MustCompile(`\$\{env:(\w+)\}`)

// LoginVariables returns the names of the environment variables that the login contains.
func (s Service) LoginVariables() []string {
	var all []string
	for _, found := range loginVariable.FindAllStringSubmatch(s.Login, -1) {
		all = append(all, found[1])
	}
	return all
}

// LoginURL returns the login with environment variables replaced. lookup returns their values. Without a login, it is an
// empty URL.
func (s Service) LoginURL(lookup func(name string) string) (*url.URL, error) {
	return url.Parse(loginVariable.ReplaceAllStringFunc(s.Login, func(v string) string {
		return source.EscapeURL(lookup(loginVariable.FindStringSubmatch(v)[1]))
	}))
}

// parseLogin validates a login, such as "postgres://app:${env:DB_PASSWORD}@/shop".
func parseLogin(s string) error {
	const write = `write user, password and database, without an address: "postgres://app:${env:DB_PASSWORD}@/shop"`
	rest := loginVariable.ReplaceAllString(s, "x")
	u, err := url.Parse(rest)
	switch {
	case err != nil || u.Scheme == "" || strings.Contains(rest, "${"):
		return source.Mistakef(codes.BadValue, write, "%q is not a URL", s)
	case u.Host != "":
		return source.Mistakef(codes.BadValue, write, "%q holds an address, which is that of the service", s)
	}
	if password, ok := u.User.Password(); ok && password != "x" {
		return source.Mistakef(codes.PlainSecret, "write ${env:NAME} in its place, and set NAME in the environment of the run", "a login holds a password, which would appear in artefacts")
	}
	return nil
}
