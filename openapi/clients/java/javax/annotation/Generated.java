package javax.annotation;

/** Stands in for that of jakarta.annotation-api 1.3, which a build with Maven or Gradle takes from there. */
public @interface Generated {
  String[] value();

  String comments() default "";
}
