package system

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLogins(t *testing.T) {
	for _, good := range []string{"postgres://app:${env:DB_PASSWORD}@/shop", "postgres://app@/shop", "redis://:${env:A}@/2", "nats://${env:TOKEN}@"} {
		require.NoError(t, parseLogin(good), good)
	}
	for bad, want := range map[string]string{
		"postgres://app:hunter22@/shop":      "holds a password",
		"postgres://app@127.0.0.1:5432/shop": "holds an address",
		"app":                                "is not a URL",
		"postgres://${address:db}@/shop":     "is not a URL",
	} {
		require.ErrorContains(t, parseLogin(bad), want)
		assert.NotContains(t, parseLogin(bad).Error(), "hunter22")
	}
	s := Service{Login: "postgres://app:${env:DB_PASSWORD}@/shop"}
	assert.Equal(t, []string{"DB_PASSWORD"}, s.LoginVariables())
	u, err := s.LoginURL(func(string) string { return "a/b @+" })
	require.NoError(t, err)
	password, _ := u.User.Password()
	assert.Equal(t, "a/b @+", password)
	assert.Equal(t, "/shop", u.Path)
}
