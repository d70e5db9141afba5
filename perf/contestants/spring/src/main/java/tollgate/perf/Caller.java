package tollgate.perf;

import java.text.ParseException;
import com.nimbusds.jwt.JWTClaimsSet;
import org.springframework.web.server.ServerWebExchange;

/** Who calls, as the token says. */
record Caller(long apiKeyId, long memberId, String grade) {
  private static final String ATTRIBUTE = Caller.class.getName();

  static Caller of(JWTClaimsSet claims) throws ParseException {
    return new Caller(claims.getLongClaim("APIKEY_ID"), claims.getLongClaim("MEMBER_ID"), claims.getStringClaim("GRADE_TYPE"));
  }

  static Caller of(ServerWebExchange exchange) {
    return exchange.getRequiredAttribute(ATTRIBUTE);
  }

  void attachTo(ServerWebExchange exchange) {
    exchange.getAttributes().put(ATTRIBUTE, this);
  }
}
