package tollgate.perf;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.UUID;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.cloud.gateway.filter.GatewayFilterChain;
import org.springframework.cloud.gateway.filter.GlobalFilter;
import org.springframework.context.annotation.Profile;
import org.springframework.core.Ordered;
import org.springframework.http.HttpStatusCode;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.stereotype.Component;
import org.springframework.web.server.ServerWebExchange;
import reactor.core.publisher.Mono;
import tools.jackson.databind.json.JsonMapper;

/** One event a request to Kafka once the answer is written, its acknowledgement not waited for: what the producer holds when the process dies is lost. */
@Component
@Profile("metered")
class UsageEvents implements GlobalFilter, Ordered {
  private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC);

  private final KafkaTemplate<String, String> kafka;
  private final JsonMapper json;
  private final String topic;

  UsageEvents(KafkaTemplate<String, String> kafka, JsonMapper json, @Value("${metered.topic}") String topic) {
    this.kafka = kafka;
    this.json = json;
    this.topic = topic;
  }

  record UsageEvent(
      String eventId, String requestTime, String responseTime, String requestProtocol, String requestMethod, String requestUri, int responseStatus,
      String clientIp, String clientAgent, long apiKeyId, long memberId, String memberGrade, String traceId) {}

  @Override
  public int getOrder() {
    return Ordered.HIGHEST_PRECEDENCE + 1;
  }

  @Override
  public Mono<Void> filter(ServerWebExchange exchange, GatewayFilterChain chain) {
    Instant requestTime = Instant.now();
    return chain.filter(exchange).then(Mono.fromRunnable(() -> send(exchange, requestTime)));
  }

  private void send(ServerWebExchange exchange, Instant requestTime) {
    ServerHttpRequest request = exchange.getRequest();
    HttpStatusCode status = exchange.getResponse().getStatusCode();
    Caller caller = Caller.of(exchange);
    UsageEvent event = new UsageEvent(
        UUID.randomUUID().toString(), TIME.format(requestTime), TIME.format(Instant.now()), "http", request.getMethod().name(), request.getPath().value(), status == null ? 0 : status.value(),
        request.getRemoteAddress().getAddress().getHostAddress(), request.getHeaders().getFirst("User-Agent"),
        caller.apiKeyId(), caller.memberId(), caller.grade(), request.getHeaders().getFirst(Authentication.TRACE_ID));
    kafka.send(topic, Long.toString(caller.apiKeyId()), json.writeValueAsString(event));
  }
}
