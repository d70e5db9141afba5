// Questions to the Elasticsearch of a deployed cluster, asked on its own machine: the firewall lets no stranger in.
import type { DeployHost } from './deploy-hosts.ts'

const script = `
import base64, json, ssl, sys, urllib.request
login = json.load(open("/etc/elasticsearch/tollgate-login.json"))
basic = base64.b64encode((login["user"] + ":" + login["password"]).encode()).decode()
request = urllib.request.Request(login["url"] + sys.argv[2], method=sys.argv[1], data=sys.argv[3].encode() or None, headers={"authorization": "Basic " + basic, "content-type": "application/json"})
print(urllib.request.urlopen(request, timeout=60, context=ssl.create_default_context(cafile=login["ca"])).read().decode())
`

/** @throws Error for an answer that is no success */
export function askElasticsearch <Answer> (host: DeployHost, method: string, path: string, body?: object): Answer {
  const text = body === undefined ? '' : JSON.stringify(body)
  return JSON.parse(host.run(`python3 -c '${script}' ${method} '${path}' '${text}'`)) as Answer
}

/** Documents of requests by key. */
export function documentsByKey (host: DeployHost, apiKeyIds: readonly number[]): ReadonlyMap<number, number> {
  askElasticsearch(host, 'POST', '/api_usage_trace/_refresh')
  const answer = askElasticsearch<{ readonly aggregations?: { readonly keys: { readonly buckets: readonly { readonly key: number, readonly doc_count: number }[] } } }>(host, 'POST', '/api_usage_trace/_search', {
    size: 0, query: { terms: { apiKeyId: apiKeyIds } }, aggs: { keys: { terms: { field: 'apiKeyId', size: apiKeyIds.length } } }
  })
  return new Map((answer.aggregations?.keys.buckets ?? []).map(({ key, doc_count: count }) => [key, count]))
}
