// Calls every function of the client on the server at the first argument. Prints the results, one a line; the upstream of the
// proxies is the second argument.
import { Toxiproxy, ToxiproxyError } from "toxiproxy-node-client";

const [url, upstream] = process.argv.slice(2);
const toxiproxy = new Toxiproxy(url);
const show = (what, value) => console.log(`${what}: ${JSON.stringify(value)}`);
const fails = async (what, promise) => {
  try {
    await promise;
    show(what, "no error");
  } catch (err) {
    show(what, err instanceof ToxiproxyError ? err.message : `${err}`);
  }
};
const all = async () => {
  const proxies = await toxiproxy.getAll();
  return Object.keys(proxies).sort().map((name) => proxies[name].toJson());
};

show("getVersion", await toxiproxy.getVersion());
show("getAll", await all());
const proxy = await toxiproxy.createProxy({ name: "node", listen: "localhost:0", upstream });
show("createProxy", proxy.toJson());
show("getHost, getPath", [proxy.getHost() === url, proxy.getPath().replace(url, ""), proxy.getToxiproxy() === toxiproxy, typeof toxiproxy.getApi()]);
await fails("createProxy again", toxiproxy.createProxy({ name: "node", listen: "localhost:0", upstream }));
await fails("createProxy without an upstream", toxiproxy.createProxy({ name: "x", listen: "localhost:0" }));
await fails("get, of none", toxiproxy.get("none"));

for (const [type, attributes] of Object.entries({
  latency: { latency: 20, jitter: 10 }, bandwidth: { rate: 1000 }, slow_close: { delay: 5 }, timeout: { timeout: 5 },
  slicer: { average_size: 1000, size_variation: 1000, delay: 1000 }, reset_peer: { timeout: 5 }, limit_data: { bytes: 100 },
})) {
  const toxic = await proxy.addToxic({ type, attributes });
  show("addToxic", toxic.toJson());
  show("getToxic", (await proxy.getToxic(toxic.name)).toJson());
  const changed = await toxic.update({ attributes: Object.fromEntries(Object.entries(attributes).map(([k, v]) => [k, v + 1])), toxicity: 0.5 });
  show("update", changed.toJson());
  await fails("addToxic again", proxy.addToxic({ type, attributes }));
  await toxic.remove();
  await fails("remove again", toxic.remove());
  await fails("getToxic, of none", proxy.getToxic(toxic.name));
}
await fails("addToxic of no type", proxy.addToxic({ type: "down" }));
show("addToxic upstream", (await proxy.addToxic({ type: "latency", stream: "upstream", toxicity: 0.2, name: "mine", attributes: { latency: 1 } })).toJson());

const down = await proxy.update({ ...proxy.toJson(), enabled: false });
show("update", down.toJson());
await toxiproxy.reset();
show("reset", (await toxiproxy.get("node")).toJson());
await fails("getToxic after the reset", proxy.getToxic("mine"));
const populated = await toxiproxy.populate([{ name: "one", listen: "localhost:0", upstream }, { name: "two", listen: "localhost:0", upstream, enabled: false }]);
show("populate", Object.values(populated).map((p) => p.toJson()));
await fails("populate with a mistake", toxiproxy.populate([{ name: "three", listen: "localhost:0", upstream }, { name: "four" }]));
show("getAll", await all());
for (const p of Object.values(await toxiproxy.getAll())) await p.remove();
await fails("remove again", proxy.remove());
show("getAll", await all());
