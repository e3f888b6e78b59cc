// Serves a route of the kind of redirector.ts: GET takes a Request and returns
// a Response. Prints its address.
import { createServer } from "node:http";

const { GET } = await import(process.argv[2]);
const server = createServer(async (req, res) => {
  const answer = await GET(new Request(new URL(req.url, "http://" + req.headers.host)));
  res.writeHead(answer.status, Object.fromEntries(answer.headers));
  res.end(await answer.text());
});
server.listen(0, "localhost", () => console.log(`http://localhost:${server.address().port}`));
