package protocols

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/message"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, All().Check())
	own := *All().Find("redis")
	for want, change := range map[string]func(p *message.Protocol){
		"another row":              func(p *message.Protocol) { p.Name = "http" },
		"another row of the table": func(p *message.Protocol) { p.Name = "tcp" },
		"lower-case letters":       func(p *message.Protocol) { p.Name = "My protocol" },
		"package datagram":         func(p *message.Protocol) { p.Name, p.UDP = "mine", true },
		"Serve, Matches and Class": func(p *message.Protocol) { p.Name, p.Class = "mine", nil },
	} {
		p := own
		change(&p)
		require.ErrorContains(t, append(All(), p).Check(), want)
	}
	own.Name = "mine"
	require.NoError(t, append(All(), own).Check())
}
