package tollgate.perf;

import java.nio.charset.StandardCharsets;
import java.text.ParseException;
import java.util.UUID;
import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSVerifier;
import com.nimbusds.jose.crypto.MACVerifier;
import com.nimbusds.jwt.SignedJWT;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.cloud.gateway.filter.GatewayFilterChain;
import org.springframework.cloud.gateway.filter.GlobalFilter;
import org.springframework.cloud.gateway.filter.ratelimit.KeyResolver;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Profile;
import org.springframework.core.Ordered;
import org.springframework.http.HttpStatus;
import org.springframework.stereotype.Component;
import org.springframework.web.server.ServerWebExchange;
import reactor.core.publisher.Mono;

/** The JWT in X-API-KEY, HS256, checked for each request by the library that Spring Security uses too; a trace id for both sides. */
@Component
@Profile("metered")
class Authentication implements GlobalFilter, Ordered {
  static final String TRACE_ID = "X-TRACE-ID";
  private final JWSVerifier verifier;

  Authentication(@Value("${metered.secret}") String secret) throws JOSEException {
    verifier = new MACVerifier(secret.getBytes(StandardCharsets.UTF_8));
  }

  /** What RequestRateLimiter counts by. */
  @Bean
  static KeyResolver apiKey() {
    return exchange -> Mono.just(Long.toString(Caller.of(exchange).apiKeyId()));
  }

  @Override
  public int getOrder() {
    return Ordered.HIGHEST_PRECEDENCE;
  }

  @Override
  public Mono<Void> filter(ServerWebExchange exchange, GatewayFilterChain chain) {
    String token = exchange.getRequest().getHeaders().getFirst("X-API-KEY");
    Caller caller = token == null ? null : verify(token);
    if (caller == null) {
      exchange.getResponse().setStatusCode(HttpStatus.UNAUTHORIZED);
      return exchange.getResponse().setComplete();
    }
    caller.attachTo(exchange);
    String traceId = UUID.randomUUID().toString();
    exchange.getResponse().getHeaders().set(TRACE_ID, traceId);
    return chain.filter(exchange.mutate().request(request -> request.headers(headers -> {
      headers.remove("X-API-KEY");
      headers.set(TRACE_ID, traceId);
      headers.set("X-Member-Id", Long.toString(caller.memberId()));
      headers.set("X-Api-Key-Id", Long.toString(caller.apiKeyId()));
      headers.set("X-Member-Grade", caller.grade());
    })).build());
  }

  private Caller verify(String token) {
    try {
      SignedJWT jwt = SignedJWT.parse(token);
      return jwt.verify(verifier) ? Caller.of(jwt.getJWTClaimsSet()) : null;
    } catch (ParseException | JOSEException problem) {
      return null;
    }
  }
}
